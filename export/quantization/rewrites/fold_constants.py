"""Constant folding: scales, offsets and pads, moved into the dense layer beside.

Each function changes a float graph in place and leaves its answers as they are, up to
the rounding of float32.
"""

import numpy as np

from keras_vit.export.quantization.graph.find_norms import (
    bias_of,
    dense_readers,
    find_norms,
    is_dense,
)


def fold_constants(graph):
    """Compute additions and pads of constants at export.

    Args:
        graph: `TFLiteGraph`.

    Returns:
        How many operators went away.
    """
    gone = 0
    for op in graph.ordered():
        values = [graph.value(number) for number in op.inputs]
        if op.name not in ("ADD", "PAD") or op.fused or any(v is None for v in values):
            continue
        first, second = values
        data = first + second if op.name == "ADD" else np.pad(first, second)
        graph.tensors[op.outputs[0]].data = data.astype(first.dtype)
        graph.operators.remove(op)
        gone += 1
    return gone


def fold_norm_scale(graph):
    """Fold scale and offset of a layer norm into the dense layers that read it.

    `W (g * n + b) + c = (W diag(g)) n + (W b + c)`. The normalised values then have
    one spread in all channels, which an 8-bit range needs; the weights, which have a
    scale per row, take the rest. Source: Ashkboos et al. 2024, arXiv:2401.15024
    (SliceGPT), section 3.1; the channel-wise view is RepQ-ViT's, Li et al. 2023,
    arXiv:2212.08254, section 3.2.

    Args:
        graph: `TFLiteGraph`.

    Returns:
        How many norms were folded.
    """
    folded = 0
    for norm in find_norms(graph):
        scale, offset, end, chain = _affine(graph, norm.normed)
        readers, padded = dense_readers(graph, end)
        if not chain or not readers or (padded and offset.any()):
            continue
        for op in readers:
            weight = graph.value(op.inputs[1])
            graph.replace(op, 2, bias_of(graph, op) + weight @ offset)
            graph.replace(op, 1, weight * scale)
        graph.redirect(end, norm.normed)
        for op in chain:
            graph.operators.remove(op)
        folded += 1
    return folded


def _affine(graph, number):
    """Scale and offset (D,) that follow a tensor, with their end and operators."""
    width = graph.tensors[number].shape[-1]
    scale, offset, chain = np.ones(width), np.zeros(width), []
    while True:
        op = graph.only_user(number)
        if op is None or op.name not in ("MUL", "ADD") or op.fused:
            return scale, offset, number, chain
        other = [i for i in op.inputs if i != number]
        value = graph.value(other[0]) if len(other) == 1 else None
        if value is None or value.size not in (1, width):
            return scale, offset, number, chain
        if value.size == width and value.shape[-1] != width:
            return scale, offset, number, chain
        value = value.reshape(-1).astype("float64")
        if op.name == "MUL":
            scale, offset = scale * value, offset * value
        else:
            offset = offset + value
        chain.append(op)
        number = op.outputs[0]


def fold_query_scale(graph):
    """Fold the factor 1/sqrt(d) of the queries into the query-key-value layer.

    It recognises dense > reshape (1, T, 3A, d) > transpose (1, 3A, T, d) > split >
    multiply, and saves the multiplication. Source: Vaswani et al. 2017,
    arXiv:1706.03762, eq. (1).

    Args:
        graph: `TFLiteGraph`.

    Returns:
        How many layers were changed.
    """
    folded = 0
    for mul in [op for op in graph.operators if op.name == "MUL"]:
        factor = graph.value(mul.inputs[1])
        split = graph.maker(mul.inputs[0])
        if factor is None or factor.size != 1 or split is None or mul.fused:
            continue
        dense = fused_projection(graph, split)
        if dense is None or graph.only_user(mul.inputs[0]) is not mul:
            continue
        if mul.outputs[0] in graph.outputs:
            continue
        weight = graph.value(dense.inputs[1]).copy()
        bias = bias_of(graph, dense).copy()
        count = len(bias) // len(split.outputs)
        start = split.outputs.index(mul.inputs[0]) * count
        weight[start : start + count] *= factor.item()
        bias[start : start + count] *= factor.item()
        graph.replace(dense, 1, weight)
        graph.replace(dense, 2, bias)
        graph.redirect(mul.outputs[0], mul.inputs[0])
        graph.operators.remove(mul)
        folded += 1
    return folded


def fused_projection(graph, split):
    """The dense layer whose output a SPLIT cuts into equal parts."""
    if split.name != "SPLIT" or graph.value(split.inputs[0]) != 1:
        return None
    transpose = graph.maker(split.inputs[1])
    if transpose is None or transpose.name != "TRANSPOSE":
        return None
    order, reshape = graph.value(transpose.inputs[1]), graph.maker(transpose.inputs[0])
    if order is None or order.tolist() != [0, 2, 1, 3] or reshape is None:
        return None
    dense = graph.maker(reshape.inputs[0])
    if reshape.name != "RESHAPE" or dense is None or not is_dense(graph, dense):
        return None
    rows = len(graph.value(dense.inputs[1]))
    _, _, parts, width = graph.tensors[reshape.outputs[0]].shape
    path = (split.inputs[1], transpose.inputs[0], reshape.inputs[0])
    alone = all(len(graph.users(n)) == 1 and n not in graph.outputs for n in path)
    even = parts * width == rows and parts % len(split.outputs) == 0
    return dense if alone and even and not dense.fused else None
