"""Layer norm in integers: one multiplication of a token by 1 / |x|, in 16 bits."""

import dataclasses
import math

import numpy as np

from keras_vit.export.quantization.graph import INT16, Tensor
from keras_vit.export.quantization.norms import over_channels

TOP = 32767
# Massive tokens are cut off from the others where their energies leave a gap this wide.
LEAST_GAP = 8.0
RELU = 1


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
    """Every norm of a graph over its last axis, in order; x may have any mean.

    Args:
        graph: float `Graph`.
    """
    found = (_norm(graph, op) for op in graph.operators if op.name == "RSQRT")
    return [norm for norm in found if norm is not None]


def _norm(graph, rsqrt):
    """Walk from RSQRT up to x, and down to the product; None if it is not a norm."""
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


def write_norm(writer, norm):
    """Append `x / |x| * sqrt(D)` to a writer's graph; gives the number of the result.

    The squared length is a product of the token with itself, whose sums the runtime
    holds in 64 bits. One 16-bit range for it is too coarse where few tokens are
    massive: see `inverse_of_two_ranges`.

    Args:
        writer: `IntegerWriter`. norm: `UnitNorm` of its float graph.
    """
    graph = writer.graph
    x = writer.stands(norm.x, wide=True)
    shape = graph.tensors[x].shape
    width = shape[-1]
    row = writer.reshaped(x, (1, math.prod(shape[:-1]), 1, width))
    top, cut = writer.energies[norm.variance]
    least = writer.limits[norm.rsqrt][1] / math.sqrt(width)
    if cut is None:
        inverse = _inverse(writer, row, top * width, least)
    else:
        tops = (cut * width, top * width)
        inverse = inverse_of_two_ranges(writer, row, tops, least)
    inverse = _times_root(writer, inverse, width)
    inverse = writer.reshaped(inverse, (*shape[:-1], 1))
    made = writer.make(norm.normed, *writer.limits[norm.normed], wide=True)
    return writer.add("MUL", [x, inverse], made)


def inverse_of_two_ranges(writer, row, tops, least):
    """1 / |x|, from a fine range for ordinary tokens and a coarse one for massive.

    `fine - relu(1 / sqrt(cut) - coarse)`, where `fine` saturates at the energy `cut`
    and the second term is zero below it. Massive tokens: Sun et al. 2024,
    arXiv:2402.17762, section 2; Darcet et al. 2023, arXiv:2309.16588, section 2. The
    construction is ours.

    Args:
        writer: `IntegerWriter`. row: tokens, (1, T, 1, D). tops: (cut, largest)
            squared length. least: 1 / |x| of the shortest token.

    Returns:
        Number of a tensor (1, T, 1, 1).
    """
    graph = writer.graph
    fine, coarse = (_inverse(writer, row, top, least) for top in tops)
    unit = least / TOP  # the very step of both, so that a saturated `fine` cancels
    code = np.full((1, 1, 1, 1), round(1 / math.sqrt(tops[0]) / unit), "int16")
    edge = graph.append(_int16("edge", code.shape, unit, code))
    excess = graph.append(_int16("excess", graph.tensors[fine].shape, unit))
    writer.add("SUB", [edge, coarse], excess, fusedActivationFunction=RELU)
    made = graph.append(_int16("inverse", graph.tensors[fine].shape, unit))
    return writer.add("SUB", [fine, excess], made)


def _inverse(writer, row, top, least):
    """1 / |x| of each token, of a squared length of `top` at most."""
    shape = (*writer.graph.tensors[row].shape[:-1], 1)
    energy = writer.graph.append(_int16("energy", shape, top / TOP))
    writer.add("BATCH_MATMUL", [row, row], energy, adjY=True)
    made = writer.graph.append(_int16("inverse", shape, least / TOP))
    return writer.add("RSQRT", [energy], made)


def _times_root(writer, inverse, width):
    """The same integers as multiples of a step sqrt(width) times as large."""
    graph, root = writer.graph, math.sqrt(width)
    code = np.full((1, 1, 1, 1), TOP, "int16")
    factor = writer.shared(_int16("root", code.shape, root / TOP, code))
    old = graph.tensors[inverse]
    made = graph.append(_int16("inverse", old.shape, float(old.scale[0]) * root))
    return writer.add("MUL", [inverse, factor], made)


def _int16(name, shape, scale, data=None):
    scale, zero = np.array([scale], "float32"), np.zeros(1, "int64")
    return Tensor(name, tuple(shape), INT16, data, scale, zero)


def energy_gap(energies):
    """Where to cut between ordinary tokens and massive ones.

    The middle (geometric) of the widest gap above the median, if the largest energy is
    at least LEAST_GAP times the one below the gap.

    Args:
        energies: squared lengths of tokens, (N,).

    Returns:
        The cut, or None.

    >>> energy_gap([1.0, 1.0, 2.0, 200.0])
    20.0
    """
    order = np.sort(energies)
    order = order[order >= np.median(order)]
    ratios = order[1:] / np.maximum(order[:-1], 1e-30)
    if not len(ratios):
        return None
    place = int(np.argmax(ratios))
    if order[-1] / max(order[place], 1e-30) < LEAST_GAP:
        return None
    return float(math.sqrt(order[place] * order[place + 1]))
