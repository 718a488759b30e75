"""Preparation of a float graph for integers: rewrites, split outlier channels."""

from keras_vit.export.quantization.calibration.observer import ranges
from keras_vit.export.quantization.calibration.saved_ranges import Ranges
from keras_vit.export.quantization.graph.dense_weights import (
    find_layers,
)
from keras_vit.export.quantization.graph.packing import layer_of
from keras_vit.export.quantization.rewrites import fold_constants, rotate_residual
from keras_vit.export.quantization.rewrites.split_outliers import (
    find_mlps,
    split_overflow,
)


def named_layers(graph):
    """Map the path in the Keras model to the dense or convolution layer, in order.

    A path that occurs twice gets its number behind it.

    Args:
        graph: float `TFLiteGraph`, before `split_all`.
    """
    layers = {}
    for op in find_layers(graph):
        name = layer_of(graph, op)
        layers[f"{name} {len(layers)}" if name in layers else name] = op
    return layers


def spared_layers(graph, images):
    """Layers to keep out of 8-bit activations, as `Ranges.keeping` names them.

    Args:
        graph: float `TFLiteGraph`, before `split_all`. images: array, or `Ranges`.

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


def prepare(graph):
    """Apply every rewrite that needs no images; outputs stay the same.

    Args:
        graph: float `TFLiteGraph`.
    """
    fold_constants.fold_constants(graph)
    fold_constants.fold_query_scale(graph)
    fold_constants.fold_norm_scale(graph)
    for stream in rotate_residual.find_streams(graph):
        rotate_residual.centre(graph, stream)
        rotate_residual.rotate(graph, stream, rotate_residual.hadamard(stream.width))


def split_all(graph, images, verbose=1):
    """Split outlier hidden units off with `split_overflow`.

    Args:
        graph: float `TFLiteGraph`. images: calibration images. verbose: 0 for silence.

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
