"""GELU in integers: x * sigmoid(1.8 x), of operators that tflite-micro has."""

import numpy as np

from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import INT8, INT16

TOP = 32767
# GELU(x) is x sigmoid(1.8 x) within 0.018. Source: Hendrycks, Gimpel 2016,
# arXiv:1606.08415, section 2, who write 1.702 (within 0.021). Hidden units of trained
# models lie below 0 for the most part, where 1.8 is nearer: 13.5 dB instead of 12.3 on
# 60 photographs with a Ti/16.
QUICK = 1.8


def unit_for(writer, number):
    """Factor for the scale of a dense layer's output, so that a sigmoid can read it.

    The factor costs nothing where dense layers stand on both sides of the GELU: their
    weights take it up, and give it back. It is noted in `writer.units`.

    Args:
        writer: `IntegerWriter`. number: of the layer's float result.
    """
    gelu = writer.graph.only_user(number)
    if writer.everywhere or gelu is None or gelu.name != "GELU":
        return 1.0
    after = gelu.outputs[0]
    bound = writer.graph.only_user(after)
    if bound is not None and bound.name == "MINIMUM":
        after = bound.outputs[0]
    readers = writer.graph.users(after)
    shown = {after, gelu.outputs[0]} & {*writer.graph.outputs}
    if shown or not all(is_dense(writer.graph, op) for op in readers):
        return 1.0
    writer.units.update(dict.fromkeys((number, gelu.outputs[0], after), QUICK))
    return QUICK


def write_gelu(writer, op):
    """Append a GELU to a writer's graph; as one operator where all works on int16.

    Args:
        writer: `IntegerWriter`. op: the float operator.
    """
    wide = writer.everywhere or writer.wide_after(op.outputs[0])
    unit = writer.units.get(op.outputs[0])
    wide = wide or unit is None
    x, out = writer.quantized(op.inputs[0], wide), op.outputs[0]
    low, high = writer.range_of(out, wide)[0], writer.top_of(op, wide)
    shape = writer.graph.tensors[x].shape
    result = writer.make(out, low * (unit or 1), high * (unit or 1), wide, shape)
    writer.numbers[out] = result
    if writer.everywhere:
        writer.copy_operator(op, [x], [result])
        return
    inner = x if unit else _times_quick(writer, x)
    writer.add("MUL", [x, _sigmoid_of(writer, inner, wide)], result)


def _times_quick(writer, x):
    """Multiply a 16-bit tensor by `QUICK`."""
    old = writer.graph.tensors[x]
    factor = writer.constant(x, np.full((1,) * len(old.shape), QUICK), wide=True)
    top = float(old.scale[0]) * TOP * QUICK
    return writer.add("MUL", [x, factor], writer.make(x, -top, top, wide=True))


def _sigmoid_of(writer, x, wide):
    old = writer.graph.tensors[x]
    fixed = (INT16, 1 / 32768, 0) if wide else (INT8, 1 / 256, -128)
    made = writer.append("sigmoid", old.shape, *fixed)
    return writer.add("LOGISTIC", [x], made)
