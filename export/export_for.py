"""Export of the one file that an app needs on a platform, with code that calls it."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.errors import ExportMismatch
from keras_vit.export.apps import app_code
from keras_vit.export.apps.platforms import FLOAT32, settle
from keras_vit.export.comparison.verification import Verification
from keras_vit.export.formats.savedmodel.exporter import SavedModel, to_savedmodel
from keras_vit.export.formats.tflite.exporter import TFLite, to_tflite
from keras_vit.export.formats.write_and_verify import Exported
from keras_vit.export.io.labels import LABELS, check_labels, lines
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.io.signature import plan
from keras_vit.export.quantization.check_calibration import check_signatures
from keras_vit.export.quantization.recipe import AUTO
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.differences import check_points
from keras_vit.export.runtime.staging import staging
from keras_vit.export.verify import verdict, verify
from keras_vit.models.input_range import UNKNOWN
from keras_vit.ranges import in_channels, keywords, pixel_statistics
from keras_vit.types import FilePath, Size

ROOM = 4.0  # on disk while working, in sizes of the float32 model
SHOWN = 3  # class names

FORMATS = {"savedmodel": SavedModel(), "tflite": TFLite()}


@dataclasses.dataclass(frozen=True)
class AppExport:
    """Result of `export_for`: the file, its code, its verification and its notes.

    Attributes:
        directory: where everything lies. target: name of the platform.
        exported: `Exported` of the file.
        snippet: path of the code. labels: path of the class names, or None.
        notes: sentences on what the file takes and gives, and why.
        verification: `Verification` on the images that were given, or None.
        ship: which file to ship, and how.
    """

    directory: pathlib.Path
    target: str
    exported: Exported
    snippet: pathlib.Path
    labels: pathlib.Path | None
    notes: tuple
    verification: Verification | None
    ship: str

    @property
    def path(self) -> pathlib.Path:
        """Path of the file to ship."""
        return self.exported.path

    def __fspath__(self):
        """Return the path of the file, so that the result opens like one."""
        return str(self.path)

    @property
    def proof(self) -> str:
        """Verification of the file in one line."""
        if self.verification is not None:
            return f"compared with Keras on your images: {self.verification}"
        recipe = RECIPES.get(self.exported.quantization)
        which = "calibration" if recipe and recipe.calibrated else "made-up"
        return (
            f"compared with Keras on a few {which} images: largest difference "
            f"{self.exported.largest_difference:.2g}. No accuracy was measured: give "
            "images of your own to judge by"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        verification = self.verification
        return {
            "directory": str(self.directory),
            "target": self.target,
            "exported": self.exported.to_dict(),
            "snippet": str(self.snippet),
            "labels": None if self.labels is None else str(self.labels),
            "notes": list(self.notes),
            "verification": None if verification is None else verification.to_dict(),
            "ship": self.ship,
        }

    def __str__(self):
        told = [f"note: {note}" for note in self.exported.notes]
        return "\n".join([*self.notes, *told, self.proof, self.ship])


def export_for(
    model: keras.Model,
    directory: FilePath,
    target: str,
    validation: Any = None,
    *,
    quantization: str | None = None,
    calibration: Any = None,
    labels: Sequence[str] | None = None,
    input_size: Size | None = None,
    tolerance: float | None = None,
    overwrite: bool = False,
    verbose: int = 1,
) -> AppExport:
    """Export the one file that an app needs on a platform, with code that calls it.

    The file takes pixels and gives probabilities; class names travel inside and lie
    beside it in `labels.txt`. It is compared with the model before it appears, and
    everything that was decided is said.

    Args:
        model: Keras model that says which pixels it takes, and gives one score per
            class. directory: made when missing.
        target: "android", "ios" or "web": `.tflite` for MediaPipe; "microcontroller":
            `.tflite` in integers for tflite-micro; "server": a SavedModel that takes
            JPEG and PNG files.
        validation: images to judge by, as in `export_all`; None for seeded ones.
        quantization: another recipe than the platform's, as in `to_tflite`;
            "float32" for none.
        calibration: 32 to 128 training images, for "microcontroller", and others whose
            recipe needs them. labels: class names; None for `model.labels`.
        input_size: side or (H, W) px of camera frames; None for the model's size.
        tolerance: points of top-1 that may be lost on `validation`; None for 0.5.
        overwrite: whether earlier files may be replaced. verbose: 0 for silence.

    Returns:
        `AppExport`.

    Raises:
        ExportMismatch: when it does not answer as the model does; nothing is left.
        FileExistsError, TypeError, ValueError, RuntimeError: for what cannot be.
    """
    trained = model.recipe if hasattr(model, "finished") else None
    platform, recipe = settle(target, quantization, calibration, validation, trained)
    check_points("tolerance", tolerance, optional=True)
    require_tensorflow("export_for")
    reference = Reference(model, dynamic_batch=platform.kind == "savedmodel")
    final = pathlib.Path(directory).expanduser().absolute()
    room = ROOM * reference.parameter_bytes
    with staging(final, platform.names, room, overwrite) as folder:
        work = _Work(reference, model, platform, recipe, labels, input_size)
        for note in work.notes:
            say(note, verbose)
        exported, found = work.write(
            folder, calibration, validation, tolerance, verbose
        )
        work.write_beside(folder, exported)
        result = work.result(final, exported, found)
    _finish(result, verbose)
    return result


def _finish(result, verbose):
    """Remove class names of an earlier model; print the last lines."""
    old = result.directory / LABELS
    if result.labels is None and old.exists():
        os.unlink(old)
        say(f"{LABELS} of what was here before is removed", verbose)
    for line in (*_memory(result.exported), result.proof, result.ship):
        say(line, verbose)


class _Work:
    """Settings of one export to a platform, checked before any slow step.

    Args:
        reference: `Reference` of the model. platform, recipe: as `settle` gives them.
        model, labels, input_size: as in `export_for`.
    """

    def __init__(self, reference, model, platform, recipe, labels, input_size):
        self._model, self._platform, self._recipe = model, platform, recipe
        contract = reference.contract
        _check_model(platform, contract)
        self.labels = check_labels(labels, model, contract)
        self._options = _options(platform, contract, input_size)
        form = FORMATS[platform.kind]
        row = form.recipes.get(recipe)
        words = (None, row is not None and row.calibrated, form.preparations)
        adapters = plan(reference, *words, **self._options)
        if recipe == AUTO or (row is not None and row.calibrated):
            check_signatures(row, adapters)
        (adapted,) = adapters.values()
        self.adapter = adapted.adapter
        why = "which the model was trained for" if reference.trained else None
        self.notes = tuple(_notes(platform, recipe, self.adapter, self.labels, why))

    def write(self, folder, calibration, validation, tolerance, verbose):
        """Write and verify the file: (`Exported`, `Verification` or None)."""
        path, kind = folder / self._platform.file, self._platform.kind
        arguments = {**self._options, "labels": self.labels, "verbose": verbose}
        if kind == "savedmodel":
            exported = to_savedmodel(self._model, path, **arguments)
        else:
            arguments["calibration"] = calibration
            if self._recipe == "auto":
                arguments["validation"] = validation
                arguments["tolerance"] = 0.5 if tolerance is None else tolerance
            exported = to_tflite(self._model, path, self._recipe, **arguments)
            if self._recipe == "auto":
                chosen = (
                    self._platform,
                    exported.quantization,
                    self.adapter,
                    self.labels,
                )
                self.notes = tuple(_notes(*chosen, why="chosen by your images"))
        if validation is None:
            return exported, None
        pair = validation if isinstance(validation, tuple) else (validation, None)
        options = {"max_points_lost": tolerance, "on_failure": "report"}
        verification = verify(self._model, path, *pair, verbose=verbose, **options)
        if not verification.passed:
            verification.path = pathlib.Path(path.name)
            raise ExportMismatch(verdict(verification), verification)
        return exported, verification

    def write_beside(self, folder, exported):
        """Write the code and the class names beside the file."""
        platform = self._platform
        code = app_code.app_code(platform, exported, self.adapter, self.labels)
        code = app_code.commented(platform, self.notes, code)
        (folder / platform.snippet).write_text(code, encoding="utf-8")
        if self.labels is not None:
            text = lines(self.labels) + "\n"
            (folder / LABELS).write_text(text, encoding="utf-8")

    def result(self, directory, exported, verification):
        """`AppExport`, with the paths that things get."""
        platform = self._platform
        path, snippet = directory / platform.file, directory / platform.snippet
        if verification is not None:
            verification.path = path
        ship = f"ship {path}: {platform.ship} start from {snippet}"
        return AppExport(
            directory=directory,
            target=platform.name,
            exported=dataclasses.replace(exported, path=path),
            snippet=snippet,
            labels=None if self.labels is None else directory / LABELS,
            notes=(*self.notes, *_memory(exported)),
            verification=verification,
            ship=ship,
        )


def _check_model(platform, contract):
    """Refuse a model that the platform's code cannot call."""
    outputs, channels = contract.outputs, contract.image.shape[-1]
    if contract.note is None:
        raise ValueError(
            f"model.preprocessing: must be known, so that a file for {platform.name} "
            f"can take pixels, but {UNKNOWN}."
        )
    scores = outputs[0]
    if len(outputs) > 1 or scores.name == "features" or len(scores.shape) != 2:
        raise ValueError(
            f"model: must give one score per class for target={platform.name!r}, got "
            f"{', '.join(map(str, outputs))}. Use to_tflite, to_onnx or "
            "to_savedmodel, which write any outputs."
        )
    if platform.mediapipe and channels != 3:
        raise ValueError(
            f"model: must take images of 3 colours for target={platform.name!r}, whose "
            f"code is for MediaPipe, got {channels}. Use to_tflite with preprocessing="
            "'embed', and LiteRT without MediaPipe."
        )


def _options(platform, contract, input_size):
    """Options of `Signature` for this platform and model."""
    channels, options = contract.image.shape[-1], {"preprocessing": "embed"}
    if contract.outputs[0].name == "logits" and contract.outputs[0].shape[-1] > 1:
        options["classifier_activation"] = "softmax"
    if input_size is not None:
        options["input_size"] = input_size
    if platform.kind == "savedmodel" and channels == 3:
        options["preprocessing"] = "decode"
        if input_size is not None:
            raise ValueError(
                "input_size: goes with files that take pixels, got input_size="
                f"{input_size!r} for target={platform.name!r}, whose file takes JPEG "
                "and PNG files of any size. Leave it out."
            )
    if platform.recipe == "full_int8":
        rows = in_channels(contract.mode, channels)
        if rows is None or len({*rows[0]}) > 1 or len({*rows[1]}) > 1:
            options["preprocessing"] = None
    return options


def _notes(platform, recipe, adapter, labels, why=None):
    """List the choices made for the file, as sentences."""
    why = why or (platform.why if recipe == platform.recipe else "as asked for")
    kind = "TFLite" if platform.kind == "tflite" else "SavedModel"
    yield f"{platform.name}: {platform.file}, {kind} {recipe or FLOAT32} ({why})"
    yield f"takes: {_taken(adapter)}"
    if not adapter.encoded and platform.kind == "savedmodel":
        yield "other sizes: crop and resize before, the file takes exactly this size"
    else:
        yield f"other sizes: {platform.sizes}"
    (scores,) = adapter.outputs
    chosen_by = (
        "softmax is part of the file" if adapter.softmax else "as the model gives them"
    )
    several = f"{adapter.classes} classes" if adapter.classes > 1 else "1 class"
    yield f"gives: {scores.name} of {several}, {chosen_by}"
    yield f"labels: {_named(platform, labels)}"
    if platform.mediapipe:
        yield "MediaPipe's ImageClassifier reads the file as it is"


def _memory(exported):
    """Arena and flash of a microcontroller, where they were measured."""
    if exported.arena_bytes is not None:
        yield (
            f"memory: {exported.arena_bytes:,} bytes of arena in tflite-micro, as "
            "measured on a 64-bit machine (a 32-bit chip needs less), and "
            f"{exported.size_bytes:,} bytes of flash for the file"
        )


def _taken(adapter):
    become = f"they become {_ends(adapter)} in the file"
    if adapter.encoded:
        return f"JPEG or PNG files; {become}"
    _, height, width, channels = adapter.image.shape
    colours = "grey" if channels == 1 else "RGB" if channels == 3 else f"{channels}"
    image = f"one image of {width}x{height} px, {colours}, bytes of 0 to 255"
    if adapter.resizes:
        inside = "{1}x{0} px".format(*adapter.view.image.shape[1:3])
        image += f", cropped and resized to {inside} in the file"
    if adapter.embedded:
        return f"{image}; {become}"
    return (
        f"{image}, which the code beside it turns into the file's integers for "
        f"{_ends(adapter)}: integers cannot do that inside, where colours differ"
    )


def _ends(adapter):
    mean, std = pixel_statistics(adapter.mode, adapter.view.image.shape[-1])
    low, high = ((0 - mean) / std).min() + 0.0, ((255 - mean) / std).max()
    return f"{low:.3g} to {high:.3g} ({keywords(adapter.mode)})"


def _named(platform, labels):
    if labels is None:
        return (
            "none, the model names no classes: answers are numbers. Give them with "
            "labels=[...] in Python, --class-names FILE in the shell"
        )
    first = ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
    inside = LABELS if platform.kind == "tflite" else f"assets.extra/{LABELS}"
    return f"{len(labels)} ({first}), in {LABELS} and inside the file as {inside}"
