"""Recipes that turn a float32 `.tflite` file into a smaller one."""

import os


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


RECIPES = {"dynamic_int8": dynamic_int8}
