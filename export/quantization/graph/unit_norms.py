"""Layer norms without scale in a graph: x / rms(x), as every LayerNorm becomes."""

import dataclasses

from keras_vit.export.quantization.graph.find_norms import over_channels


@dataclasses.dataclass(frozen=True)
class UnitNorm:
    """One `x * rsqrt(mean(x^2) + epsilon)`.

    Args:
        x: number of what goes in. normed: of what comes out. variance, rsqrt: of
            the two tensors between.
        product: the operator that makes `normed`. inner: all others.
    """

    x: int
    normed: int
    variance: int
    rsqrt: int
    product: object
    inner: tuple


def find_unit_norms(graph):
    """Find every norm over the last axis, in order; x may have any mean.

    Args:
        graph: float `TFLiteGraph`.
    """
    found = (_norm(graph, op) for op in graph.operators if op.name == "RSQRT")
    return [norm for norm in found if norm is not None]


def _norm(graph, rsqrt):
    """Match a norm from its RSQRT; None if the operators are another pattern."""
    add = graph.maker(rsqrt.inputs[0])
    mean = add and graph.maker(add.inputs[0])
    square = mean and graph.maker(mean.inputs[0])
    names = [op and op.name for op in (add, mean, square)]
    if names != ["ADD", "MEAN", "MUL"] or square.inputs[0] != square.inputs[1]:
        return None
    inner = (square, mean, add, rsqrt)
    users = [graph.only_user(op.outputs[0]) for op in inner]
    product = users[-1]
    if users[:-1] != list(inner[1:]) or product is None or product.name != "MUL":
        return None
    x = square.inputs[0]
    if set(product.inputs) != {x, rsqrt.outputs[0]} or product.fused:
        return None
    if not over_channels(graph, mean):
        return None
    variance = mean.outputs[0]
    return UnitNorm(x, product.outputs[0], variance, rsqrt.outputs[0], product, inner)
