"""The last step of every export: write to a temporary name, verify, rename."""

import dataclasses
import math
import pathlib
import time
from typing import Any

from keras_vit import files
from keras_vit.errors import ExportMismatch
from keras_vit.export.images.calibration_images import evenly_spaced
from keras_vit.export.io.io_spec import check_images, size_of
from keras_vit.export.runtime import differences
from keras_vit.export.runtime.console import quiet, say
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.staging import display_path

# Images that a file is compared with the model on, at most.
PROOF = 8


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported file whose outputs were compared with the Keras model's.

    Attributes:
        path: of the file or folder.
        format: "savedmodel", "tflite" or "onnx".
        quantization: None for float32, or the recipe.
        size_bytes: of the file, or of all files in the folder.
        inputs, outputs: tuples of `keras_vit.export.io.io_spec.TensorSpec`.
        largest_difference: to the Keras outputs, on seeded images.
        signal_to_noise_db: on the same images; inf when they are equal.
        seconds: that writing and checking took.
        operators: name -> how often it stands in the file.
        signatures: names of all ways to call it.
        notes: what a careful reader should know.
        tried: with quantization="auto", one
            `keras_vit.export.quantization.auto.AutoTrial` per recipe.
        beside: paths of files that belong to it and must stay beside it.
        arena_bytes: memory that it takes in tflite-micro, on this 64-bit machine; None
            for other recipes, and where that was not measured.
    """

    path: pathlib.Path
    format: str
    quantization: str | None
    size_bytes: int
    inputs: tuple
    outputs: tuple
    largest_difference: float
    signal_to_noise_db: float
    seconds: float
    operators: dict
    signatures: tuple = ()
    notes: tuple = ()
    tried: tuple = ()
    beside: tuple = ()
    arena_bytes: int | None = None

    def __fspath__(self):
        """Return the path, so that the result opens like one."""
        return str(self.path)

    def __str__(self):
        kind = self.format + (f" {self.quantization}" if self.quantization else "")
        line = (
            f"{kind}, {self.size_bytes / 1e6:.2f} MB, "
            f"{differences.differs(self.largest_difference)}, {self.seconds:.1f} s"
        )
        if self.arena_bytes is not None:
            line += f", {self.arena_bytes:,} bytes of arena in tflite-micro"
        return "\n  note: ".join((f"{self.path}: {line}", *self.notes))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; identical outputs have None for dB."""
        noise = self.signal_to_noise_db
        return {
            **dataclasses.asdict(self),
            "path": str(self.path),
            "signal_to_noise_db": noise if math.isfinite(noise) else None,
            "identical": self.largest_difference == 0.0,
            "beside": [str(path) for path in self.beside],
        }


def write_and_verify(
    reference,
    path,
    *,
    convert,
    finish,
    adapted,
    recipe=None,
    images=None,
    beside=(),
    disk=1.1,
    memory=0.0,
    overwrite=False,
    verbose=1,
):
    """Write a file, compare its outputs with the model's, then rename it to its path.

    Args:
        reference: `Reference`, whose contract it must fulfil. path: final one.
        convert: function of a temporary path that writes, in silence.
        finish: function of the same path that completes it, and gives notes.
        adapted: {signature: `AdaptedReference`} that the file must show.
        recipe: `QuantizationRecipe`, None for float32.
        images: of which some are compared on; None for seeded ones.
        beside: files that may come with it.
        disk, memory: needed for it, in sizes of the float32 model.
        overwrite, verbose: as in `to_tflite`.

    Returns:
        `Exported`.

    Raises:
        FileExistsError, OSError: as `keras_vit.files`.
        ExportMismatch: when it does not answer as the model does; nothing is left.
    """
    start = time.perf_counter()
    path = files.check_target(path, overwrite)
    files.check_space(path, disk * reference.parameter_bytes)
    files.check_memory(path, memory * reference.parameter_bytes)
    images = None if images is None else evenly_spaced(images, PROOF)
    cases = [SignatureCase(*each, images) for each in adapted.items()]
    say(f"{path.name}: writing", verbose)
    with files.replacing(path, overwrite, beside) as temporary:
        with quiet():
            convert(temporary)
        notes = finish(temporary)
        runtimes = [open_file(temporary, signature=case.signature) for case in cases]
        _check_precision(path, recipe, runtimes[0].precision)
        tally, *_ = [prove(path, *pair) for pair in zip(runtimes, cases, strict=True)]
        facts = _facts(temporary, runtimes[0], tally)
    result = Exported(
        path=path,
        quantization=recipe and recipe.name,
        seconds=time.perf_counter() - start,
        notes=(*reference.notes, *notes, *_constant_output_warning(cases[0].expected)),
        beside=tuple(p for p in map(path.with_name, beside) if p.exists()),
        **facts,
    )
    say(str(dataclasses.replace(result, path=display_path(path))), verbose)
    return result


def _check_precision(path, recipe, precision):
    """Refuse a file whose weights a recipe left in float."""
    if precision != (recipe.precision if recipe else "float32"):
        name = recipe and recipe.name
        raise ExportMismatch(
            f"{path}: must be written with quantization={name!r}, got "
            f"{precision} weights. Export without quantization."
        )


class SignatureCase:
    """Test images of one signature, and its expected outputs.

    Args:
        signature: its name, or None for the only one. adapted: `AdaptedReference`.
        images: (B, H, W, C) in the model's range, or None for seeded ones.
    """

    def __init__(self, signature, adapted, images):
        self.signature, self.adapter = signature, adapted.adapter
        view = self.adapter.view
        fits = images is not None and images.shape[1:] == view.image.shape[1:]
        self.images = self.adapter.pixels(images if fits else check_images(view))
        self.expected = adapted.finite_answers(self.images)


def prove(path, runtime, case):
    """Compare names, shapes, dtypes and outputs of a loaded file with the model.

    An open batch is asked twice, with all images and with one.

    Args:
        path: for messages. runtime: the loaded file. case: `SignatureCase`.

    Returns:
        `keras_vit.export.runtime.differences.Tally`.

    Raises:
        ExportMismatch: naming what differs.
    """
    adapter, images = case.adapter, case.images
    compared = dataclasses.replace(
        adapter.view, image=adapter.image, outputs=adapter.compared
    )
    differences.check_interface(path, adapter.contract, runtime)
    runtime.order([tensor.name for tensor in adapter.outputs])
    counts = (1, len(images)) if adapter.contract.batch is None else (len(images),)
    for count in counts:
        expected = [answer[:count] for answer in case.expected]
        got = adapter.complete(expected, runtime(images[:count]))
        tally = differences.check_answers(
            path, compared, runtime.precision, expected, got
        )
    return tally


def _facts(path, runtime, tally):
    return {
        "largest_difference": tally.largest,
        "signal_to_noise_db": tally.decibel,
        "format": runtime.format,
        "size_bytes": size_of(path),
        "inputs": tuple(runtime.inputs),
        "outputs": tuple(runtime.outputs),
        "operators": runtime.operators,
        "signatures": runtime.signatures,
        "arena_bytes": runtime.arena_bytes,
    }


def _constant_output_warning(expected):
    """Warn when all images get the same output, which makes the comparison weak."""
    if all((answer == answer[:1]).all() for answer in expected):
        return (
            "the model gives every image the same answer (an untrained head?), "
            "so the comparison proves little",
        )
    return ()
