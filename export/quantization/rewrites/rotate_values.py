"""Rotation of attention values, head by head, against outlier channels."""

import dataclasses

import numpy as np

from keras_vit.export.quantization.graph.find_norms import bias_of, is_dense
from keras_vit.export.quantization.rewrites.fold_constants import fused_projection
from keras_vit.export.quantization.rewrites.rotate_residual import hadamard


@dataclasses.dataclass(frozen=True)
class AttentionValues:
    """The values of one attention: source, readers and projection.

    Args:
        dense: layer whose rows `start` to `start + heads * width` make the values.
        proj: layer that reads them, mixed over the tokens.
        heads: count. width: channels of a head.
    """

    dense: object
    proj: object
    start: int
    heads: int
    width: int


def find_values(graph):
    """Find every attention with a fused query-key-value layer and a projection.

    Args:
        graph: `TFLiteGraph`.

    Returns:
        list of `AttentionValues`.
    """
    attentions = []
    for split in graph.operators:
        dense = fused_projection(graph, split)
        if dense is None or len(split.outputs) != 3:
            continue
        heads, width = graph.tensors[split.outputs[2]].shape[-3::2]
        proj = _projection(graph, split.outputs[2], heads * width)
        if proj is not None:
            attentions.append(
                AttentionValues(dense, proj, 2 * heads * width, heads, width)
            )
    return attentions


def _projection(graph, number, columns):
    """The dense layer after product, transpose and reshape, or None."""
    product = graph.only_user(number)
    if product is None or product.name != "BATCH_MATMUL":
        return None
    options = product.raw.builtinOptions
    if product.inputs[1] != number or options.adjX or options.adjY:
        return None
    op = graph.only_user(product.outputs[0])
    if op is None or op.name != "TRANSPOSE":
        return None
    if graph.value(op.inputs[1]).tolist() != [0, 2, 1, 3]:
        return None
    while op is not None and op.name in ("TRANSPOSE", "RESHAPE"):
        op = graph.only_user(op.outputs[0])
    if op is None or not is_dense(graph, op):
        return None
    return op if graph.value(op.inputs[1]).shape[1] == columns else None


def rotate_values(graph):
    """Rotate each head's values by an orthogonal matrix; the projection undoes it.

    `P_h (a V) = (P_h R) (a (R' V))` for each head h: attention mixes tokens, not
    channels. Outliers of single channels are spread over the head. Source: Ashkboos
    et al. 2024, arXiv:2404.00456 (QuaRot), section 4, stage 1c.

    Args:
        graph: float `TFLiteGraph`; its answers stay as they are.

    Returns:
        How many attentions were turned.
    """
    attentions = find_values(graph)
    for values in attentions:
        dense, proj, width = values.dense, values.proj, values.width
        weight = graph.value(dense.inputs[1]).astype("float64")
        bias = bias_of(graph, dense).astype("float64")
        back = graph.value(proj.inputs[1]).astype("float64")
        matrix = hadamard(width, seed=1)
        for head in range(values.heads):
            place = slice(head * width, (head + 1) * width)
            rows = slice(values.start + place.start, values.start + place.stop)
            weight[rows], bias[rows] = matrix.T @ weight[rows], matrix.T @ bias[rows]
            back[:, place] = back[:, place] @ matrix
        graph.replace(dense, 1, np.ascontiguousarray(weight))
        graph.replace(dense, 2, bias)
        graph.replace(proj, 1, back)
    return len(attentions)
