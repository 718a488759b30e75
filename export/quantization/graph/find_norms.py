"""Layer norms of a graph, and how constants reach dense layers along channels."""

import dataclasses

import numpy as np

# Operators that treat every channel alike and keep the channels last.
CARRIERS = ("RESHAPE", "STRIDED_SLICE", "MEAN", "PAD")


@dataclasses.dataclass(frozen=True)
class Norm:
    """One `(x - mean) * rsqrt(mean((x - mean)^2) + epsilon)`.

    Args:
        x: number of what goes in. normed: of what comes out, before any scale.
        mean, sub: operators that centre. square: the product with itself.
    """

    x: int
    normed: int
    mean: object
    sub: object
    square: object


def find_norms(graph):
    """Find every layer norm over the last axis, in order."""
    found = (_norm(graph, op) for op in graph.operators if op.name == "RSQRT")
    return [norm for norm in found if norm is not None]


def _norm(graph, rsqrt):
    """Match a layer norm from its RSQRT; None if the operators are another pattern."""
    add = graph.maker(rsqrt.inputs[0])
    variance = add and graph.maker(add.inputs[0])
    square = variance and graph.maker(variance.inputs[0])
    sub = square and graph.maker(square.inputs[0])
    mean = sub and sub.name == "SUB" and graph.maker(sub.inputs[1])
    if not mean or mean.inputs[0] != sub.inputs[0]:
        return None
    names = [op.name for op in (mean, square, variance, add)]
    if names != ["MEAN", "MUL", "MEAN", "ADD"] or square.inputs[0] != square.inputs[1]:
        return None
    if not (over_channels(graph, mean) and over_channels(graph, variance)):
        return None
    centred, users = sub.outputs[0], graph.users(sub.outputs[0])
    product = graph.only_user(rsqrt.outputs[0])
    if product is None or product.name != "MUL" or users != [square, product]:
        return None
    if set(product.inputs) != {centred, rsqrt.outputs[0]} or centred in graph.outputs:
        return None
    if graph.only_user(mean.outputs[0]) is not sub:
        return None
    return Norm(sub.inputs[0], product.outputs[0], mean, sub, square)


def over_channels(graph, mean):
    """Whether a MEAN is over the last axis, and that alone."""
    return _axes(graph, mean) == {_last(graph, mean)}


def _axes(graph, mean):
    axes, rank = graph.value(mean.inputs[1]), _last(graph, mean) + 1
    return None if axes is None else {int(a) % rank for a in axes.reshape(-1)}


def _last(graph, operator):
    return len(graph.tensors[operator.inputs[0]].shape) - 1


def carries(graph, operator):
    """Whether an operator keeps the channels apart and in order."""
    if operator.name not in CARRIERS:
        return False
    before, after = operator.inputs[0], operator.outputs[0]
    shapes = [graph.tensors[number].shape for number in (before, after)]
    if not all(shapes) or shapes[0][-1] != shapes[1][-1]:
        return False
    if operator.name == "RESHAPE":
        return True
    if operator.name == "MEAN":
        axes = _axes(graph, operator)
        return axes is not None and _last(graph, operator) not in axes
    rows = [graph.value(number) for number in operator.inputs[1:]]
    if any(row is None for row in rows):
        return False
    if operator.name == "PAD":
        return not rows[0][-1].any()
    bit = 1 << (len(rows[0]) - 1)
    options = operator.raw.builtinOptions
    plain = not (options.newAxisMask or options.ellipsisMask)
    full = len(rows[0]) == len(shapes[0]) and rows[2][-1] == 1
    return bool(plain and full and not options.shrinkAxisMask & bit)


def dense_readers(graph, number):
    """The dense layers that alone read a tensor, through carriers.

    Args:
        number: of a tensor with the channels last.

    Returns:
        (operators, whether zeros are padded in on the way), or (None, False) when
        something else reads it.
    """
    width, readers, stack, padded = graph.tensors[number].shape[-1], [], [number], False
    while stack:
        number = stack.pop()
        if number in graph.outputs:
            return None, False
        for op in graph.users(number):
            if is_dense(graph, op) and graph.value(op.inputs[1]).shape[1] == width:
                readers.append(op)
            elif carries(graph, op) and op.inputs[0] == number:
                padded = padded or op.name == "PAD"
                stack += op.outputs
            else:
                return None, False
    return readers, padded


def is_dense(graph, operator):
    """Whether it is a dense layer with constant float weights."""
    if operator.name != "FULLY_CONNECTED":
        return False
    weight = graph.value(operator.inputs[1])
    return weight is not None and weight.ndim == 2 and weight.dtype == "float32"


def bias_of(graph, operator):
    """The bias of a dense or convolution layer, zeros when it has none, (out,)."""
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        return graph.value(operator.inputs[2])
    return np.zeros(len(graph.value(operator.inputs[1])), "float32")
