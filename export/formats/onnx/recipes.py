"""The quantization recipes for `.onnx` files: one row each."""

import functools

from keras_vit.export.formats.onnx.quantize import float16, integer
from keras_vit.export.quantization.recipe import IMAGES, QuantizationRecipe, table

# `apply` takes (graph, file, images, verbose) and gives how many layers it changed;
# images are seeded ones where `needs` is "nothing". In onnxruntime 16-bit floats are
# for storage, hence unusual. Shares of size: of ViT-Ti/16, by
# benchmarks/quantization.py.
# fmt: off
RECIPES = table(
    QuantizationRecipe(
        "float16", float16, 0.50, (0.09, 0.04), precision="float16", usual=False,
    ),
    QuantizationRecipe("dynamic_int8", integer, 0.30, (0.26, 0.17)),
    QuantizationRecipe(
        "static_int8", functools.partial(integer, static=True), 0.301, (0.37, 0.29),
        needs=IMAGES,
    ),
)
# fmt: on
