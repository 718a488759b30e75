"""TFLite export: one static graph of builtin operators, for phones."""

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_vit.choices import check_choice
from keras_vit.export.conversion.tflite import write_float32
from keras_vit.export.formats.run_export import check_options, run_export
from keras_vit.export.formats.tflite import arena
from keras_vit.export.formats.write_and_verify import Exported
from keras_vit.export.io.io_spec import check_suffix
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.io.signature import SignatureOptions, show_fields
from keras_vit.export.quantization.recipe import AUTO
from keras_vit.export.quantization.recipes import RECIPES, apply_recipe
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.console import quiet
from keras_vit.types import FilePath

# Offsets inside a .tflite file are signed 32-bit numbers.
LIMIT = 2**31
# Memory while working, in sizes of the float32 model, by benchmarks/exports.py.
MEMORY = 8.0


@show_fields
def to_tflite(
    model: keras.Model,
    path: FilePath,
    quantization: str | None = None,
    dynamic_batch: bool = False,
    overwrite: bool = False,
    verbose: int = 1,
    calibration: Any = None,
    validation: Any = None,
    tolerance: float = 0.5,
    labels: Sequence[str] | None = None,
    signatures: dict[str, Any] | None = None,
    **options: Unpack[SignatureOptions],
) -> Exported:
    """Export to a `.tflite` file for LiteRT on phones and small computers.

    Builtin operators only, labels and normalisation in the metadata. It is run in
    LiteRT and compared with the model before it gets its name: float32 must stay
    within 1e-4 of the logits; 16, 8, 4 bits keep 40, 10, 6 dB of signal to noise.

    Args:
        model: Keras model that takes images. path: file to write.
        quantization: None for float32; "float16": weights in 16 bits;
            "dynamic_int8": dense layers with 8-bit weights, activations on the fly;
            "static_int8": dense and convolution layers in 8-bit integers with ranges
            from `calibration`; "full_int8": all in integers, for chips without
            floats; "int16x8": 8-bit weights, else 16-bit integers; "int4": weights
            in 4 bits, some in 8; "int4_blockwise": with a scale per 32 of them;
            "auto": the smallest that loses at most `tolerance` on `validation`.
        dynamic_batch: whether it takes any number of images; one is faster.
        overwrite: whether an existing file may be replaced. verbose: 0 for silence.
        calibration: 32 to 128 training images for static and integer recipes: an
            array (N, H, W, C) in the model's range, batches, a folder; or `Ranges`.
        validation, tolerance: for "auto": other images, or (images, labels); points
            of top-1, or of agreement without labels, that may be lost.
        labels: class names; None for `model.labels`. signatures: {name: options}.
        **options: fields of `keras_vit.export.Signature`, such as top=5.

    Returns:
        `keras_vit.export.Exported`; after "auto", `tried` is the table.

    Raises:
        ExportMismatch, UnsupportedLayer: when it answers otherwise, or cannot at all.
        FileExistsError, TypeError, ValueError, RuntimeError: for what cannot be.
    """
    check_suffix(path, ".tflite")
    check_choice("quantization", quantization, (None, *RECIPES, AUTO))
    require_tensorflow("to_tflite")
    reference = Reference(model, dynamic_batch)
    file = {"path": path, "labels": labels, "overwrite": overwrite, "verbose": verbose}
    images = {"calibration": calibration, "judged": (validation, tolerance)}
    served = {"signatures": signatures, "signature": options}
    form = TFLite()
    checked = check_options(form, reference, quantization, **served, **images, **file)
    return run_export(form, reference, quantization, checked)


class TFLite:
    """`.tflite` files, as `run_export` writes them; see `Format`."""

    recipes = RECIPES
    preparations = (None, "embed")

    def check(self, reference, recipe, path):
        """Refuse a model above 2 GiB, and an open batch with calibrated recipes."""
        _check_size(path, reference)
        if recipe is not None and self.hindrance(reference, recipe):
            raise ValueError(
                f"dynamic_batch: must be False with quantization={recipe.name!r}, got "
                "True. Leave it out, and run images one by one."
            )

    def hindrance(self, reference, recipe):
        """Say that calibrated recipes need a batch of 1."""
        fits = not recipe.calibrated or reference.contract.batch is not None
        return "" if fits else "needs a batch of 1"

    def needs(self, reference, recipe, options):
        """Disk and memory of a float32 part per image size and batch, and the file."""
        views = _views(options)
        saved = options.calibration is not None and options.images is None
        if saved and views[0].reference() is not reference:
            raise ValueError(
                "calibration: saved ranges do not cover output='features', got them "
                "for a signature that gives features. Pass the images themselves."
            )
        return (2.2 if recipe is None else 2.5) + len(views), MEMORY

    def convert(self, reference, file, options):
        """Convert a part for each image size and batch, and check its operators."""
        for view, part in _parts(file, options):
            whole = view.reference()
            if options.source is not None and whole is reference:
                shutil.copyfile(options.source, part)
            else:
                write_float32(whole, part)
            _check_operators(part, whole)

    def quantize(self, reference, file, recipe, options):
        """Quantize each part; calibrated recipes have a single one."""
        for view, part in _parts(file, options):
            rounded = part.with_suffix(".rounded.tflite")
            silence = contextlib.nullcontext() if recipe.calibrated else quiet()
            with silence:
                apply_recipe(
                    recipe,
                    part,
                    rounded,
                    options.calibration,
                    options.verbose,
                    reference.contract.stated_mode,
                )
            os.replace(rounded, part)
            _check_operators(part, view.reference())

    def finish(self, reference, file, recipe, options):
        """Assemble all parts to one file with signatures, labels and metadata."""
        parts = [
            (part, {n: a.adapter for n, a in options.adapted.items() if a.view is view})
            for view, part in _parts(file, options)
        ]
        name = reference.model.name
        return arena.assemble_measured(recipe, file, parts, name, options.labels)

    def beside(self, path):
        """Return nothing: the file is complete."""
        return ()


def _views(options):
    """Model views at each image size and batch size."""
    return list(dict.fromkeys(adapted.view for adapted in options.adapted.values()))


def _parts(file, options):
    """Pairs of (model view, its part of the file)."""
    for index, view in enumerate(_views(options)):
        yield view, file.with_suffix(f".part{index}.tflite")


def _check_operators(file, reference):
    """Refuse operators that LiteRT on phones does not have."""
    static = reference.contract.batch is not None
    tflite_file.check(file.name, tflite_file.audit(file), static)


def _check_size(path, reference):
    if reference.parameter_bytes > 0.99 * LIMIT:
        raise ValueError(
            f"{path}: a .tflite file holds at most 2 GiB, got a model of "
            f"{reference.parameter_bytes / 2**30:.1f} GiB. Use to_onnx, or a smaller "
            "variant."
        )
