"""Recipes that turn a float32 `.tflite` file into a smaller one."""

import dataclasses
import os

from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.quantization.algorithms.full_int8 import full_int8, int16x8
from keras_vit.export.quantization.algorithms.int4 import int4, int4_blockwise
from keras_vit.export.quantization.algorithms.static_int8 import static_int8
from keras_vit.export.quantization.calibration.saved_ranges import (
    check_ranges,
    is_ranges,
)


def dynamic_int8(source, target):
    """Store the weights of dense and matrix products in 8 bits, per channel.

    Activations stay float32 in the file; the runtime quantizes them per token
    while it multiplies. Needs no calibration images.

    Args:
        source: float32 `.tflite` file. target: file to write.
    """
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(os.fspath(source), recipe.dynamic_wi8_afp32())
    made.quantize().export_model(os.fspath(target))


def float16(source, target):
    """Store the weights in 16-bit floats, for half the size at the same accuracy.

    The runtime widens them to float32 when it loads the file, or computes in 16 bits
    where the hardware prefers that (GPU delegates). Needs no calibration images.

    Args:
        source: float32 `.tflite` file. target: file to write.
    """
    from ai_edge_quantizer import quantizer

    made = quantizer.Quantizer(os.fspath(source), HALVES)
    made.quantize().export_model(os.fspath(target))


HALVES = [
    {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    }
]
RECIPES = {"dynamic_int8": dynamic_int8, "float16": float16}
# Recipes that need to see images, and take them and `verbose` besides.
CALIBRATED = {
    "static_int8": static_int8,
    "int4": int4,
    "int4_blockwise": int4_blockwise,
}
# Those that write the image in integers, and take the range of its values besides.
INTEGER = {"full_int8": full_int8, "int16x8": int16x8}
CALIBRATED.update(INTEGER)
# Those to which ranges are as good as images.
FROM_RANGES = ("static_int8", *INTEGER)
# What the weights of a file made by a recipe are stored in.
PRECISIONS = {
    None: "float32",
    "float16": "float16",
    "int4": "int4",
    "int4_blockwise": "int4",
}


def check_calibration(quantization, calibration, reference, verbose=0):
    """As `calibration_images`, for TFLite, whose static recipes take single images.

    Args:
        quantization, reference, verbose: as there.
        calibration: `quantization.Ranges`, or the path of such, besides.

    Returns:
        (N, H, W, C) float32, `Ranges`, `Trained`, or None.

    Raises:
        ValueError: besides, for an open batch, and ranges of another model.
    """
    if reference.trained is not None:
        _check_batch(quantization, reference.contract)
        return _trained(reference, quantization, calibration)
    if quantization in CALIBRATED and calibration is not None:
        _check_batch(quantization, reference.contract)
    if is_ranges(calibration):
        return _check_ranges(quantization, calibration, reference.model)
    given = (quantization, calibration, reference, CALIBRATED)
    return calibration_images(*given, verbose)


def _trained(reference, quantization, calibration):
    """What a model was trained with, and images for what it did not learn."""
    plan = reference.trained
    plan.check(quantization, calibration)
    if not plan.needs_images:
        return plan
    given = (quantization, calibration, reference, CALIBRATED)
    return dataclasses.replace(plan, images=calibration_images(*given))


def _check_batch(quantization, contract):
    if contract.batch is None:
        raise ValueError(
            f"dynamic_batch: must be False with quantization={quantization!r}, got "
            "True. Leave it out, and run images one by one."
        )


def calibration_images(quantization, calibration, reference, calibrated, verbose=0):
    """Calibration images, if the recipe needs any, before anything slow.

    Args:
        quantization: name of a recipe, "auto", or None.
        calibration: images as in `read_calibration`, or None.
        reference: `Reference` of the model.
        calibrated: names of the recipes that need images. verbose: 1 says what is
            left out of a folder.

    Returns:
        (N, H, W, C) float32, or None.

    Raises:
        TypeError, ValueError: for images that are missing, not wanted or wrong.
    """
    if is_ranges(calibration):
        raise ValueError(
            "calibration: must be images, got ranges, which only "
            f"{', '.join(FROM_RANGES)} of TFLite take. Pass the images, or their "
            "folder."
        )
    if quantization == "auto" and calibration is not None:
        return read_calibration(calibration, reference, verbose)
    if quantization not in calibrated:
        if calibration is None:
            return None
        raise ValueError(
            f"calibration: goes with {', '.join(calibrated)} only, got quantization="
            f"{quantization!r}, which needs no images. Leave it out."
        )
    if calibration is None:
        raise ValueError(
            f"calibration: must be given with quantization={quantization!r}, got None. "
            "Pass 32 to 128 training images, prepared with model.preprocessing."
        )
    return read_calibration(calibration, reference, verbose)


def _check_ranges(quantization, calibration, model):
    if quantization not in FROM_RANGES:
        raise ValueError(
            f"calibration: ranges go with {', '.join(FROM_RANGES)} of TFLite, got "
            f"quantization={quantization!r}. Pass the images themselves."
        )
    return check_ranges(calibration, model)


def precision_of(quantization):
    """What a recipe stores weights in: "float32", "float16", "int8" or "int4".

    >>> precision_of(None), precision_of("float16"), precision_of("dynamic_int8")
    ('float32', 'float16', 'int8')
    """
    return PRECISIONS.get(quantization, "int8")
