"""Outlier hidden units, split off into a small dense layer."""

import dataclasses

import numpy as np

from keras_vit.export.quantization.graph.find_norms import bias_of, is_dense
from keras_vit.export.quantization.graph.graph import TFLiteTensor

# Where GELU has become the identity: 6 - GELU(6) = 6e-9.
LINEAR = 6.0
# Outlier units: at most this share may be split off, and only where the range
# of all others shrinks by this factor.
SHARE = 1 / 128
LEAST_GAIN = 2.0
UNBOUNDED = np.finfo("float32").max
RELU = 1


@dataclasses.dataclass(frozen=True)
class Mlp:
    """`second(GELU(first(x)))`, by operators."""

    first: object
    gelu: object
    second: object


def find_mlps(graph):
    """Find pairs of dense layers with only a GELU between them.

    Args:
        graph: `TFLiteGraph`.

    Returns:
        list of `Mlp`.
    """
    mlps = []
    for gelu in [op for op in graph.operators if op.name == "GELU"]:
        first = graph.maker(gelu.inputs[0])
        second = graph.only_user(gelu.outputs[0])
        if first is None or second is None or first.fused or second.fused:
            continue
        alone = graph.only_user(gelu.inputs[0]) is gelu
        alone = alone and second.outputs[0] not in graph.outputs
        if alone and is_dense(graph, first) and is_dense(graph, second):
            mlps.append(Mlp(first, gelu, second))
    return mlps


def split_overflow(graph, mlp, tops):
    """Split off what a few hidden units hold above a bound, around the second layer.

    `W g(h) = W min(g(h), c) + W_u relu(h_u - c_u)`, where the bound c is finite for
    the units u alone, and so high that g (GELU) is the identity above it. The main
    path then needs a range of c instead of the largest unit's. True for any image, not
    only those of the calibration: the other units have no bound.

    Trained transformers hold such units: in one layer of a Ti/16, one reached 215 on
    64 images, the 767 others stayed below 8.2. Massive activations: Sun et al. 2024,
    arXiv:2402.17762; a branch in float for outliers: Dettmers et al. 2022,
    arXiv:2208.07339 (LLM.int8), section 3.

    Args:
        graph: `TFLiteGraph`. mlp: `Mlp` of it.
        tops: (units,) largest value of each after the GELU.

    Returns:
        Units that were split off, and the two small dense layers; ([], []) when none
        stands out.
    """
    units, bound = outliers(tops)
    if not len(units):
        return [], []
    return units.tolist(), split_units(graph, mlp, units, bound)


def split_units(graph, mlp, units, bound):
    """Split as `split_overflow` does, for units and a bound that are known.

    Args:
        graph: `TFLiteGraph`. mlp: `Mlp` of it. units: numbers. bound: LINEAR or more.

    Returns:
        The two small dense layers.
    """
    first, second = mlp.first, mlp.second
    hidden = graph.tensors[first.outputs[0]].shape
    above = graph.append(TFLiteTensor("overflow", (*hidden[:-1], len(units))))
    weight = graph.value(first.inputs[1])[units]
    bias = graph.constant(bias_of(graph, first)[units] - bound)
    inputs = [first.inputs[0], graph.constant(weight), bias]
    options = {"keepNumDims": first.raw.builtinOptions.keepNumDims}
    graph.add("FULLY_CONNECTED", inputs, above, fusedActivationFunction=RELU, **options)
    weight = graph.constant(graph.value(second.inputs[1])[:, units])
    beside, total = graph.like(second.outputs[0]), graph.like(second.outputs[0])
    options = {"keepNumDims": second.raw.builtinOptions.keepNumDims}
    graph.add("FULLY_CONNECTED", [above, weight, -1], beside, **options)
    branch = graph.operators[-2:]
    graph.redirect(second.outputs[0], total)
    graph.add("ADD", [second.outputs[0], beside], total)
    bounds = np.full(hidden[-1], UNBOUNDED)
    bounds[units] = bound
    low = graph.like(mlp.gelu.outputs[0])
    graph.add("MINIMUM", [mlp.gelu.outputs[0], graph.constant(bounds, "bounds")], low)
    second.inputs[0] = low
    return branch


def outliers(tops, floor=LINEAR, share=SHARE, least_gain=LEAST_GAIN):
    """Find outlier units, and the bound of the others.

    The cut lies at the largest ratio between neighbours in the order of size.

    Args:
        tops: (units,) largest value of each. floor: least bound.

    Returns:
        (numbers of the units, bound); no units when the range would not shrink by
        LEAST_GAIN.

    >>> outliers([1.0] * 300 + [215.0])
    (array([300]), 6.0)
    """
    tops = np.asarray(tops)
    order = np.argsort(-tops)
    most = max(1, int(len(tops) * share))
    least = np.maximum(tops[order], max(floor, 1e-9))
    count = int(np.argmax(tops[order[:most]] / least[1 : most + 1])) + 1
    bound = float(least[count])
    if tops[order[0]] / bound < least_gain:
        return order[:0], bound
    return order[:count], bound
