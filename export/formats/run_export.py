"""The export driver of all formats: convert, quantize, finish, verify, rename."""

import dataclasses
import pathlib
from typing import Any, Protocol

import numpy as np

from keras_vit import files
from keras_vit.export.formats.write_and_verify import write_and_verify
from keras_vit.export.io.labels import check_labels
from keras_vit.export.io.signature import is_plain, plan
from keras_vit.export.quantization.algorithms.trained_ranges import TrainedIntegers
from keras_vit.export.quantization.auto import (
    AccuracyJudge,
    make_judge,
    smallest,
    smallest_with_adapter,
)
from keras_vit.export.quantization.check_calibration import (
    check_calibration,
    check_signatures,
)
from keras_vit.export.quantization.recipe import AUTO


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Checked options of one exported file.

    Args:
        path: file or folder to write.
        adapted: {signature: `AdaptedReference`}, as `plan` gives them; None for the
            model's own inputs and outputs.
        labels: class names; None for those of the model.
        calibration: as `check_calibration` gives it, or None.
        judge: `AccuracyJudge` for quantization="auto", or None.
        source: float32 file of the same model that need not be converted again; None.
        overwrite: whether an existing file may be replaced. verbose: 0 for silence.
    """

    path: Any
    adapted: dict | None = None
    labels: list | None = None
    calibration: Any = None
    judge: AccuracyJudge | None = None
    source: pathlib.Path | None = None
    overwrite: bool = False
    verbose: int = 1

    @property
    def images(self):
        """The calibration images to compare a file on, where there are some."""
        calibration = self.calibration
        if isinstance(calibration, TrainedIntegers):
            calibration = calibration.images
        return calibration if isinstance(calibration, np.ndarray) else None


class Format(Protocol):
    """The interface of a file format, in the order in which `run_export` calls it.

    `reference` is the `Reference` of the model, `recipe` a row of `recipes` or None,
    `options` are `ExportOptions`; `file` is a temporary path.
    """

    recipes: dict
    preparations: tuple  # values of `Signature.preprocessing` that it can write

    def check(self, reference, recipe, path):
        """Refuse what the format cannot write, before any slow step."""

    def hindrance(self, reference, recipe):
        """Why "auto" cannot try a recipe on a model, or ""."""

    def needs(self, reference, recipe, options):
        """(disk, memory) of the export, in sizes of the float32 weights."""

    def convert(self, reference, file, options):
        """Write the float32 file, or the parts of one."""

    def quantize(self, reference, file, recipe, options):
        """Quantize the file, in place."""

    def finish(self, reference, file, recipe, options):
        """Add inputs, outputs and metadata; returns notes."""

    def beside(self, path):
        """Names of further files that may belong to it."""


def check_options(
    form,
    reference,
    quantization=None,
    *,
    signatures=None,
    signature=None,
    calibration=None,
    judged=(None, None),
    **options,
):
    """Check all options, before any slow step.

    Args:
        form: `Format`. reference: `Reference`. quantization: as in `to_tflite`.
        signatures: {name: options}, or None. signature: fields of `Signature` that all
            have.
        calibration: as in `to_tflite`. judged: (validation, tolerance) for "auto".
        **options: of `ExportOptions`, as they are.

    Returns:
        `ExportOptions`.

    Raises:
        FileExistsError, TypeError, ValueError: for what cannot be.
    """
    recipe = form.recipes.get(quantization)
    calibrated = recipe is not None and recipe.calibrated
    words = (signatures, calibrated, form.preparations)
    adapted = plan(reference, *words, **(signature or {}))
    if calibrated or quantization == AUTO:
        check_signatures(recipe, adapted)
    options["labels"] = check_labels(
        options["labels"], reference.model, reference.contract
    )
    form.check(reference, recipe, options["path"])
    files.check_target(options["path"], options["overwrite"])
    learned = check_calibration(
        form.recipes, quantization, calibration, reference, options["verbose"]
    )
    judge = make_judge(quantization, reference, *judged)
    return ExportOptions(adapted=adapted, calibration=learned, judge=judge, **options)


def run_export(form, reference, quantization, options):
    """Convert, quantize, finish and verify a file; rename it to its path last.

    Args:
        form: `Format`. reference: `Reference` of the model.
        quantization: name of a recipe of the format, "auto", or None for float32.
        options: `ExportOptions`.

    Returns:
        `keras_vit.export.Exported`; after "auto", `tried` is the table.

    Raises:
        ExportMismatch, UnsupportedLayer: see `to_tflite`.
    """
    if quantization == AUTO:
        return _smallest(form, reference, options)
    recipe = form.recipes.get(quantization)
    labels = check_labels(options.labels, reference.model, reference.contract)
    adapted = plan(reference) if options.adapted is None else options.adapted
    options = dataclasses.replace(options, labels=labels, adapted=adapted)
    disk, memory = form.needs(reference, recipe, options)

    def finish(file):
        if recipe is not None:
            form.quantize(reference, file, recipe, options)
        return form.finish(reference, file, recipe, options)

    return write_and_verify(
        reference,
        options.path,
        convert=lambda file: form.convert(reference, file, options),
        finish=finish,
        recipe=recipe,
        adapted=adapted,
        images=options.images,
        beside=form.beside(pathlib.Path(options.path)),
        disk=disk,
        memory=memory,
        overwrite=options.overwrite,
        verbose=options.verbose,
    )


def _smallest(form, reference, options):
    """Write the file of the smallest recipe that keeps the accuracy.

    Recipes are judged by the model's own inputs and outputs; a file with others is
    written last.
    """

    def asked(name, **changes):
        """The options of one recipe, silent where it takes no time."""
        recipe = form.recipes.get(name)
        if recipe is None or not recipe.calibrated:
            changes = {"calibration": None, "verbose": 0, **changes}
        return dataclasses.replace(options, judge=None, **changes)

    def write(name, file, source):
        own = {"path": file, "source": source, "adapted": None, "overwrite": False}
        return run_export(form, reference, name, asked(name, **own))

    def dress(name):
        again = asked(name, verbose=options.verbose)
        return run_export(form, reference, name, again)

    hindrances = {
        recipe: _hindrance(form, reference, recipe, options)
        for recipe in form.recipes.values()
    }
    arguments = (options.path, options.judge, hindrances, write)
    last = {"overwrite": options.overwrite, "verbose": options.verbose}
    if is_plain(options.adapted):
        return smallest(*arguments, **last)
    return smallest_with_adapter(*arguments, dress, **last)


def _hindrance(form, reference, recipe, options):
    if recipe.calibrated and options.calibration is None:
        return "needs calibration images"
    return form.hindrance(reference, recipe)
