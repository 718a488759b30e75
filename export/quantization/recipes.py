"""The quantization recipes for `.tflite` files: one row each."""

import os

from keras_vit.export.quantization.algorithms.full_int8 import full_int8, int16x8
from keras_vit.export.quantization.algorithms.int4 import int4, int4_blockwise
from keras_vit.export.quantization.algorithms.static_int8 import static_int8
from keras_vit.export.quantization.recipe import (
    IMAGES,
    RANGES,
    QuantizationRecipe,
    table,
)


def dynamic_int8(source, target):
    """Store the weights of dense and matrix products in 8 bits, per channel.

    Activations stay float32 in the file; the runtime quantizes them per token
    while it multiplies. Needs no calibration images.

    Args:
        source: float32 `.tflite` file. target: file to write.
    """
    from ai_edge_quantizer import quantizer, recipe

    quantized = quantizer.Quantizer(os.fspath(source), recipe.dynamic_wi8_afp32())
    quantized.quantize().export_model(os.fspath(target))


def float16(source, target):
    """Store the weights in 16-bit floats, for half the size at the same accuracy.

    The runtime widens them to float32 when it loads the file, or computes in 16 bits
    where the hardware prefers that (GPU delegates). Needs no calibration images.

    Args:
        source: float32 `.tflite` file. target: file to write.
    """
    from ai_edge_quantizer import quantizer

    quantized = quantizer.Quantizer(os.fspath(source), HALVES)
    quantized.quantize().export_model(os.fspath(target))


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
# `apply` takes (source, target); with `needs` besides (calibration, verbose); with
# `image_integers` besides the value range of the image as `mode`.
# Shares of size: of ViT-Ti/16, by benchmarks/quantization.py. Seconds: means over the
# formats, of a model of 0.3 million and a Ti/16, with 64 and 32 calibration images, on
# an AMD EPYC (Zen 4). Recipes in integers
# throughout are several times slower on a processor than float32, hence unusual.
# fmt: off
RECIPES = table(
    QuantizationRecipe("dynamic_int8", dynamic_int8, 0.27, (0.26, 0.17)),
    QuantizationRecipe("float16", float16, 0.50, (0.09, 0.04), precision="float16"),
    QuantizationRecipe(
        "static_int8", static_int8, 0.28, (0.37, 0.29), needs=RANGES, trainable=True,
    ),
    QuantizationRecipe(
        "int4", int4, 0.18, (3.4, 14.3), precision="int4", needs=IMAGES, trainable=True,
    ),
    QuantizationRecipe(
        "int4_blockwise", int4_blockwise, 0.181, (3.4, 14.3), precision="int4",
        needs=IMAGES, usual=False,
    ),
    QuantizationRecipe(
        "full_int8", full_int8, 0.28, (0.29, 0.40), needs=RANGES, image_integers=8,
        usual=False, tried_by_auto=False, trainable=True, for_microcontrollers=True,
    ),
    QuantizationRecipe(
        "int16x8", int16x8, 0.28, (0.29, 0.40), needs=RANGES, image_integers=16,
        usual=False, tried_by_auto=False,
    ),
)
# fmt: on


def apply_recipe(recipe, source, target, calibration=None, verbose=1, mode="none"):
    """Quantize a float32 `.tflite` file.

    Args:
        recipe: a row of `RECIPES`. source, target: files, not the same.
        calibration: images, `Ranges` or `TrainedIntegers`, where a recipe needs some.
        verbose: 0 for no progress. mode: value range of the images, see
            `keras_vit.preprocess_input`.
    """
    options = {"mode": mode} if recipe.image_integers else {}
    if recipe.calibrated:
        options.update(images=calibration, verbose=verbose)
    recipe.apply(source, target, **options)
