"""Estimated duration of rounding to 4 bits, from timing its cheapest step."""

import collections
import time

import numpy as np

from keras_vit.export.quantization.algorithms.gptq import gptq
from keras_vit.export.quantization.calibration.observer import open_graph

ROUNDINGS = 2  # of each layer: for a trial, and for good
WALKS = 2  # through the graph at each of them: rounded, and in float
ROWS = 4096  # inputs that a layer is said to have seen; no time depends on it


def int4_seconds(graph, images, bits, block, probe):
    """Estimate the remaining seconds of `int4`.

    One image runs through the graph, and one layer of each shape is rounded.

    Args:
        graph: float `TFLiteGraph`. images: (N, H, W, C).
        bits: {place of a layer: 4 or 8}.
        block: as in `int4`. probe: images that judge each layer.
    """
    fours = sum(count == 4 for count in bits.values())
    through = ROUNDINGS * WALKS * len(images) + probe * (2 + fours / 2)
    return through * _one_image(graph, images) + ROUNDINGS * _rounding(
        graph, bits, block
    )


def _one_image(graph, images):
    """Time one image, after the interpreter's first run."""
    interpreter, numbers = open_graph(graph)
    interpreter.set_tensor(numbers[graph.inputs[0]], images[:1])
    interpreter.invoke()
    return _timed(interpreter.invoke)


def _rounding(graph, bits, block):
    """Estimate the seconds of rounding all layers once."""
    kinds, weights = collections.Counter(), {}
    for place, count in bits.items():
        weight = graph.value(graph.operators[place].inputs[1])
        kinds[count, weight.shape] += 1
        weights[count, weight.shape] = weight
    seconds = 0.0
    for (count, shape), many in kinds.items():
        own = block if count == 4 and shape[1] % (block or 1) == 0 else 0
        hessian, weight = np.eye(shape[1]), weights[count, shape]
        given = (weight, hessian, ROWS, count, own)
        seconds += many * _timed(lambda given=given: gptq(*given))
    return seconds


def _timed(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start
