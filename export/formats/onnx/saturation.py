"""8-bit weights that do not saturate 16-bit sums on x86 without VNNI.

On x86 without VNNI, onnxruntime adds two neighbouring products of a uint8 activation
and an int8 weight in a signed 16-bit register (the instruction VPMADDUBSW), which
saturates: 255 w0 + 255 w1 must stay within -32768 .. 32767. So two weights of one sign
that are multiplied as a pair may add up to 128 at most. It is a property of the file:
where it holds, the answers are the same with and without VNNI, with AMX, and on ARM.

Source: Intel, Intrinsics Guide, _mm256_maddubs_epi16; the order of the pairs was found
by running files under an emulated Haswell.
"""

import numpy as np

# 255 * 128 = 32,640 is within 16 bits, 255 * 129 is not.
LARGEST_PAIR = 128
# Where the weight stands among the inputs of an operator that multiplies integers.
WEIGHTS = {
    "MatMulInteger": 1,
    "ConvInteger": 1,
    "QLinearMatMul": 3,
    "QLinearConv": 3,
    "MatMul": 1,
    "Gemm": 1,
    "Conv": 1,
}


def largest_values(rows, dense):
    """Largest weight that a scale must represent, so that no product pair saturates.

    A dense layer is read in the order of its inputs, two by two. The order in which a
    convolution is read differs between kernels: any two of its weights count as a pair.

    Args:
        rows: (out, in) of a dense layer, (out, in, kh, kw) of a convolution.
        dense: whether it is a dense layer.

    Returns:
        (out,): the largest magnitude, or the largest sum of a pair of one sign.

    >>> largest_values(np.array([[3.0, 2.0, -4.0, 1.0]]), dense=True)
    array([5.])
    """
    flat = rows.reshape(len(rows), -1)
    return np.maximum(np.abs(flat).max(axis=1), _largest_pairs(flat, dense))


def _largest_pairs(flat, dense):
    """Largest sum (out,) of two neighbouring weights of one sign."""
    if flat.shape[1] % 2:
        flat = np.pad(flat, ((0, 0), (0, 1)))
    sums = []
    for part in (np.maximum(flat, 0), np.maximum(-flat, 0)):
        if dense:
            sums.append((part[:, ::2] + part[:, 1::2]).max(axis=1))
        else:
            sums.append(np.partition(part, -2, axis=1)[:, -2:].sum(axis=1))
    return np.maximum(*sums)


def saturating_weights(graph):
    """Names of int8 weights whose products may saturate on x86 without VNNI.

    Args:
        graph: `OnnxGraph` of an `.onnx` file.

    Returns:
        list of names of constants, in order; empty where every processor agrees.
    """
    wide = {
        node.output[0]: node.input[0]
        for node in graph.nodes
        if node.op_type == "DequantizeLinear"
    }
    names = []
    for node in graph.nodes:
        place = WEIGHTS.get(node.op_type)
        if place is None or place >= len(node.input):
            continue
        name = wide.get(node.input[place], node.input[place])
        weight = graph.constants.get(name)
        if weight is None or weight.dtype != "int8" or name in names:
            continue
        if _saturates(weight, node):
            names.append(name)
    return names


def _saturates(weight, node):
    dense = "Conv" not in node.op_type
    if dense and not any(a.name == "transB" and a.i for a in node.attribute):
        weight = np.moveaxis(weight, -2, -1)
    rows = weight.reshape(-1, weight.shape[-1]) if dense else weight
    pairs = _largest_pairs(rows.reshape(len(rows), -1).astype("int16"), dense)
    return bool((pairs > LARGEST_PAIR).any())
