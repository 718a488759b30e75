"""static_int8: dense and convolution layers in integers, everything else in float."""

import pathlib

from keras_vit.export.quantization.algorithms.trained_ranges import (
    Trained,
    static_trained,
)
from keras_vit.export.quantization.calibration.observer import ranges
from keras_vit.export.quantization.calibration.saved_ranges import Ranges, count_of
from keras_vit.export.quantization.calibration.statistics import see_all
from keras_vit.export.quantization.graph.dense_weights import (
    dynamic_layer,
    find_layers,
    integer_gelu,
    static_layer,
)
from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import Graph
from keras_vit.export.quantization.graph.packing import layer_of
from keras_vit.export.quantization.rewrites import fold_constants, rotate_residual
from keras_vit.export.quantization.rewrites.split_outliers import (
    find_mlps,
    split_overflow,
)
from keras_vit.export.runtime.console import say

# GELU(-4) = -1.3e-4: what lies below is worth no code of its input.
GELU_FLOOR = -4.0


def static_int8(source, target, images, verbose=1):
    """Quantize weights and activations of the dense and convolution layers.

    Activations get a fixed range from the calibration images, results of dense layers
    without the rarest, see `ranges.percentile`. Before that the float
    graph is rewritten, without changing its answers, so that 8 bits are enough: see
    `folds`, `residual` and `overflow`. Layer norm, softmax and the residual stream
    stay in float; a dense layer that gives an output of the model has 8-bit weights
    and quantizes its input per image.

    Args:
        source: float32 `.tflite` file with a batch of 1. target: file to write.
        images: (N, H, W, C) float32, as `read_calibration` gives them, `Ranges`, or
            `Trained`.
        verbose: 0 for no progress.
    """
    if isinstance(images, Trained):
        return static_trained(source, target, images)
    graph = Graph(source)
    prepare(graph)
    kept = spared(graph, images)
    say(f"calibrating on {count_of(images)} images", verbose)
    branches = split_all(graph, images, verbose)
    layers = [op for op in find_layers(graph) if op not in branches]
    wanted = {number for op in layers for number in (op.inputs[0], op.outputs[0])}
    limits = see_all(graph, images, verbose, wanted=wanted).narrow
    plan = [(limits[op.inputs[0]], result_range(graph, limits, op)) for op in layers]
    inner = graph.needed(op.inputs[0] for op in layers)
    for op, (given, result) in zip(layers, plan, strict=True):
        if is_dense(graph, op) and (op in kept or op.outputs[0] not in inner):
            dynamic_layer(graph, op)
        else:
            static_layer(graph, op, given, result)
    integer_gelu(graph)
    pathlib.Path(target).write_bytes(graph.save()[0])


def named_layers(graph):
    """Path in the Keras model -> dense or convolution layer, in order.

    A path that occurs twice gets its number behind it.

    Args:
        graph: float `Graph`, before `split_all`.
    """
    found = {}
    for op in find_layers(graph):
        name = layer_of(graph, op)
        found[f"{name} {len(found)}" if name in found else name] = op
    return found


def spared(graph, images):
    """Layers to keep out of 8-bit activations, as `Ranges.keeping` names them.

    Args:
        graph: float `Graph`, before `split_all`. images: array, or `Ranges`.

    Raises:
        ValueError: for a name that no layer has.
    """
    names = images.keep if isinstance(images, Ranges) else ()
    known = named_layers(graph) if names else {}
    for name in names:
        if name not in known:
            raise ValueError(
                f"keeping: must name layers of the model, got {name!r}. Known: "
                f"{', '.join(known)}."
            )
    return [known[name] for name in names]


def result_range(graph, limits, layer):
    """(low, high) that a layer's output needs, which is less in front of a GELU."""
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


def prepare(graph):
    """Every rewrite that needs no images; the answers stay as they are.

    Args:
        graph: float `Graph`.
    """
    fold_constants.fold_constants(graph)
    fold_constants.fold_query_scale(graph)
    fold_constants.fold_norm_scale(graph)
    for stream in rotate_residual.find_streams(graph):
        rotate_residual.centre(graph, stream)
        rotate_residual.rotate(graph, stream, rotate_residual.hadamard(stream.width))


def split_all(graph, images, verbose=1):
    """`split_overflow` wherever hidden units stand out.

    Args:
        graph: float `Graph`. images: calibration images. verbose: 0 for silence.

    Returns:
        The small dense layers that were added, which stay in float.
    """
    mlps = find_mlps(graph)
    if not mlps:
        return []
    wanted = [mlp.gelu.outputs[0] for mlp in mlps]
    span = ranges(graph, images, wanted, verbose)
    branches = []
    for mlp, number in zip(mlps, wanted, strict=True):
        _, branch = split_overflow(graph, mlp, span[number][1])
        branches += branch
    return branches
