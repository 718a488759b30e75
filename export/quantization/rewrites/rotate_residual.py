"""Centring and rotation of the residual stream, against outlier channels.

Both rewrites use that every block reads the stream through a layer norm, and writes to
it through a dense layer. They change a float graph in place and leave its answers as
they are, up to the rounding of float32.
"""

import dataclasses

import numpy as np

from keras_vit.export.quantization.graph.find_norms import (
    bias_of,
    carries,
    dense_readers,
    find_norms,
    is_dense,
)


@dataclasses.dataclass(frozen=True)
class ResidualStream:
    """One residual stream of a graph: readers, writers, constants.

    Args:
        width: channels D. norms: that read it.
        writers: dense and convolution layers that add to it.
        constants: (operator, place) of constants that are added to it.
    """

    width: int
    norms: list
    writers: list
    constants: list


def find_streams(graph):
    """Find residual streams read by layer norms only, and written by dense layers only.

    Anything else, such as a stream that is also an output, is left out.

    Args:
        graph: `TFLiteGraph`.

    Returns:
        list of `ResidualStream`.
    """
    norms = find_norms(graph)
    streams, done = [], set()
    for norm in norms:
        if norm.x in done:
            continue
        tensors = _spread(graph, norm.x, norms)
        done |= tensors or {norm.x}
        stream = tensors and _stream(graph, tensors, norms)
        if stream:
            streams.append(stream)
    return streams


def _spread(graph, start, norms):
    """All tensors of the residual stream with `start`, or None."""
    width = graph.tensors[start].shape[-1]
    reads = {id(op) for norm in norms for op in (norm.mean, norm.sub)}
    tensors, stack = set(), [start]
    while stack:
        number = stack.pop()
        if number in tensors or graph.value(number) is not None:
            continue
        tensors.add(number)
        shape = graph.tensors[number].shape
        outside = (*graph.inputs, *graph.outputs)
        if number in outside or not shape or shape[-1] != width:
            return None
        users = [op for op in graph.users(number) if id(op) not in reads]
        maker = graph.maker(number)
        if is_writer(graph, maker, width):
            around = users
        else:
            around = [maker, *users]
        for op in around:
            if op.name == "ADD" and not op.fused:
                stack += [*op.inputs, *op.outputs]
            elif carries(graph, op):
                stack += [op.inputs[0], *op.outputs]
            else:
                return None
    return tensors


def is_writer(graph, operator, width):
    """Whether an operator is a linear layer with `width` outputs."""
    if operator.name == "CONV_2D":
        weight = graph.value(operator.inputs[1])
        linear = weight is not None and weight.dtype == "float32"
    else:
        linear = is_dense(graph, operator)
    if not linear or operator.fused:
        return False
    return len(graph.value(operator.inputs[1])) == width


def _stream(graph, tensors, norms):
    """Sort the readers and writers of the tensors; None if a constant does not fit."""
    width = graph.tensors[next(iter(tensors))].shape[-1]
    writers, constants = [], []
    for number in sorted(tensors):
        op = graph.maker(number)
        if is_writer(graph, op, width):
            writers.append(op)
        elif op.name == "ADD":
            places = [p for p in (0, 1) if graph.value(op.inputs[p]) is not None]
            constants += [(op, place) for place in places]
    values = [graph.value(op.inputs[place]) for op, place in constants]
    if any(not value.ndim or value.shape[-1] != width for value in values):
        return None
    return ResidualStream(
        width, [n for n in norms if n.x in tensors], writers, constants
    )


def _write(graph, stream, change):
    """Apply a linear map to every writer of the stream; change: (.., D) > (.., D)."""
    for op in stream.writers:
        weight = graph.value(op.inputs[1]).astype("float64")
        rows = change(weight.reshape(stream.width, -1).T).T
        graph.replace(op, 1, rows.reshape(weight.shape))
        graph.replace(op, 2, change(bias_of(graph, op).astype("float64")))
    for op, place in stream.constants:
        value = graph.value(op.inputs[place]).astype("float64")
        graph.replace(op, place, change(value))


def centre(graph, stream):
    """Subtract each token's mean in the writers, and drop it from the layer norms.

    Every reader subtracts the mean over the channels, so every writer may as well;
    layer norm becomes root-mean-square norm. Source: Ashkboos et al. 2024,
    arXiv:2401.15024 (SliceGPT), section 3.1; Jiang et al. 2023, arXiv:2305.14858.

    Args:
        graph: `TFLiteGraph`. stream: `ResidualStream` of it.
    """
    _write(graph, stream, lambda rows: rows - rows.mean(axis=-1, keepdims=True))
    for norm in stream.norms:
        graph.redirect(norm.sub.outputs[0], norm.x)
        for op in (norm.sub, norm.mean):
            graph.operators.remove(op)


def rotate(graph, stream, matrix):
    """Rotate a centred stream by an orthogonal matrix, which spreads outlier channels.

    `W n(x) = (W Q) n(Q' x)`: root-mean-square norm sees lengths only. Outlier channels
    are spread over all, and one 8-bit range fits. Source: Ashkboos et al. 2024,
    arXiv:2404.00456 (QuaRot), section 4, stage 1a.

    Args:
        graph: `TFLiteGraph`. stream: `ResidualStream` that `centre` was applied to.
        matrix: (D, D) orthogonal.

    Returns:
        Whether it was turned: not when something other than dense layers reads it.
    """
    readers = [dense_readers(graph, norm.normed)[0] for norm in stream.norms]
    if None in readers:
        return False
    _write(graph, stream, lambda rows: rows @ matrix)
    for op in (op for group in readers for op in group):
        graph.replace(op, 1, graph.value(op.inputs[1]).astype("float64") @ matrix)
    return True


def hadamard(width, seed=0):
    """An orthogonal matrix that spreads every channel over all, (D, D) float64.

    Signs at random, times a Hadamard matrix of the largest power of two in D, times a
    random rotation of the odd rest. Source: Ashkboos et al. 2024, arXiv:2404.00456,
    section 3 (theirs: a Hadamard matrix of the rest, known for few sizes; ours: any).

    Args:
        width: D. seed: of the random parts.
    """
    random = np.random.default_rng(seed)
    two = width & -width
    matrix = np.ones((1, 1))
    while len(matrix) < two:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    rest, triangle = np.linalg.qr(random.normal(size=(width // two, width // two)))
    rest = rest * np.sign(np.diag(triangle))
    signs = random.choice([-1.0, 1.0], width)
    return signs[:, None] * np.kron(rest, matrix / np.sqrt(two))
