"""static_int8: dense and convolution layers in integers, everything else in float."""

import pathlib

from keras_vit.export.quantization.algorithms.prepare_graph import (
    prepare,
    spared_layers,
    split_all,
)
from keras_vit.export.quantization.algorithms.trained_ranges import (
    TrainedIntegers,
    static_trained,
)
from keras_vit.export.quantization.calibration.saved_ranges import count_of
from keras_vit.export.quantization.calibration.statistics import collect_statistics
from keras_vit.export.quantization.graph.dense_weights import (
    dynamic_layer,
    find_layers,
    integer_gelu,
    static_layer,
)
from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import TFLiteGraph
from keras_vit.export.runtime.console import say

# GELU(-4) = -1.3e-4: what lies below is worth no code of its input.
GELU_FLOOR = -4.0


def static_int8(source, target, images, verbose=1):
    """Quantize weights and activations of the dense and convolution layers.

    Activations get a fixed range from the calibration images, results of dense layers
    without the rarest, see `clipping.percentile`. Before that the float
    graph is rewritten, without changing its answers, so that 8 bits are enough: see
    `rewrites`. Layer norm, softmax and the residual stream
    stay in float; a dense layer that gives an output of the model has 8-bit weights
    and quantizes its input per image.

    Args:
        source: float32 `.tflite` file with a batch of 1. target: file to write.
        images: (N, H, W, C) float32, as `read_calibration` gives them, `Ranges`, or
            `TrainedIntegers`.
        verbose: 0 for no progress.
    """
    if isinstance(images, TrainedIntegers):
        return static_trained(source, target, images)
    graph = TFLiteGraph(source)
    prepare(graph)
    kept = spared_layers(graph, images)
    say(f"calibrating on {count_of(images)} images", verbose)
    branches = split_all(graph, images, verbose)
    layers = [op for op in find_layers(graph) if op not in branches]
    wanted = {number for op in layers for number in (op.inputs[0], op.outputs[0])}
    limits = collect_statistics(graph, images, verbose, wanted=wanted).narrow
    plan = [(limits[op.inputs[0]], result_range(graph, limits, op)) for op in layers]
    inner = graph.needed(op.inputs[0] for op in layers)
    for op, (input_range, result) in zip(layers, plan, strict=True):
        if is_dense(graph, op) and (op in kept or op.outputs[0] not in inner):
            dynamic_layer(graph, op)
        else:
            static_layer(graph, op, input_range, result)
    integer_gelu(graph)
    pathlib.Path(target).write_bytes(graph.save()[0])


def result_range(graph, limits, layer):
    """(low, high) of a layer's output, smaller before a GELU."""
    low, high = limits[layer.outputs[0]]
    gelu = graph.only_user(layer.outputs[0])
    if gelu is None or gelu.name != "GELU":
        return low, high
    after = gelu.outputs[0]
    bound = graph.only_user(after)
    if bound is not None and bound.name == "MINIMUM":
        after = bound.outputs[0]
    high = limits[after][1] if after in limits else high
    return max(low, GELU_FLOOR), high
