"""Dense and convolution layers in 8-bit integers: scales and zero points.

Source of the arithmetic: Jacob et al. 2018, arXiv:1712.05877, section 2 (scale and zero
point, int32 sums), with a scale per output channel, Krishnamoorthi 2018,
arXiv:1806.08342, section 3.1.2.
"""

import copy

import numpy as np

from keras_vit.export.quantization.graph.find_norms import bias_of
from keras_vit.export.quantization.graph.graph import INT8, INT32, TFLiteTensor

# Versions of the operators that take 8-bit integers with a scale per channel.
VERSIONS = {"FULLY_CONNECTED": 12, "CONV_2D": 3}
DEQUANTIZE = 2
# Limit of a quantized bias: half the range of an int32 sum.
LARGEST_BIAS = 2.0**30


def scale_and_zero(low, high):
    """Scale and zero point of an int8 range that holds [low, high], with 0 exact.

    `x = scale * (q - zero)`, q from -128 to 127.

    >>> scale_and_zero(-1.0, 0.9921875)
    (0.0078125, 0)
    """
    low, high = min(float(low), 0.0), max(float(high), 1e-6)
    scale = (high - low) / 255
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def quantize_weight(weight, bits=8, steps=None, least=0.0):
    """Quantize a weight to -127 .. 127 with one scale per output channel.

    Args:
        weight: (out, ...) float32. bits: fewer for a smaller range.
        steps: (out,), scales that it was trained with, or None for the smallest that
            hold it. least: (out,) below which no scale may lie, see `least_scales`.

    Returns:
        int8 of the same shape, and scales (out,) float32.
    """
    rows = weight.reshape(len(weight), -1)
    top = 2 ** (bits - 1) - 1
    if steps is None:
        steps = np.maximum(np.abs(rows).max(axis=1), 1e-8) / top
    scale = np.maximum(steps, least)
    integers = np.clip(np.round(rows / scale[:, None]), -top, top)
    return integers.astype("int8").reshape(weight.shape), scale.astype("float32")


def least_scales(bias, input_scale, largest=LARGEST_BIAS):
    """Smallest weight scales for which the bias still fits its int32.

    A channel of tiny weights has a tiny scale, and its bias, a multiple of that and of
    the input's scale, would be cut off.

    Args:
        bias: (out,). input_scale: scale of the input. largest: integer for a bias.

    Returns:
        (out,) float64.

    >>> least_scales(np.array([3.0]), 0.5, largest=100)
    array([0.06])
    """
    return np.abs(bias.astype("float64")) / (float(input_scale) * largest)


def find_layers(graph):
    """List dense and convolution layers with constant float weights, in order.

    Args:
        graph: float `TFLiteGraph`.
    """
    layers = []
    for op in graph.ordered():
        weight = graph.value(op.inputs[1]) if op.name in VERSIONS else None
        fixed = weight is not None and weight.dtype == "float32"
        if fixed and graph.value(op.inputs[0]) is None:
            layers.append(op)
    return layers


def dynamic_layer(graph, operator):
    """Store 8-bit weights; the runtime quantizes the input per token.

    Args:
        graph: `TFLiteGraph`. operator: dense layer of it, with float weights.
    """
    operator.inputs[1], _ = _weight(graph, operator)
    operator.raw = copy.deepcopy(operator.raw)
    operator.raw.builtinOptions.asymmetricQuantizeInputs = True


def static_layer(graph, operator, input_range, result_range):
    """Write an integer layer between QUANTIZE and DEQUANTIZE.

    Args:
        graph: `TFLiteGraph`. operator: dense or convolution layer with float weights.
        input_range, result_range: (low, high) of input and output.

    Returns:
        Number of the integer output, for whoever can read that.
    """
    scale, zero = scale_and_zero(*input_range)
    bias = bias_of(graph, operator)
    weight, scales = _weight(graph, operator, least_scales(bias, scale))
    scales = (scale * scales).astype("float32")
    sums = np.round(bias / scales.astype("float64"))
    bias = TFLiteTensor("bias", bias.shape, INT32, sums.astype("int32"), scales)
    bias.zero = np.zeros(len(scales), "int64")
    image = quantized(graph, operator.inputs[0], scale, zero)
    output = operator.outputs[0]
    twin = integer_like(graph, output, *scale_and_zero(*result_range))
    operator.inputs, operator.outputs = [image, weight, graph.append(bias)], [twin]
    operator.version = VERSIONS[operator.name]
    graph.add("DEQUANTIZE", [twin], output, version=DEQUANTIZE)
    return twin


def quantized(graph, number, scale, zero):
    """Quantize a float tensor to its int8 twin, once per range."""
    for op in graph.users(number):
        if op.name == "QUANTIZE":
            twin = graph.tensors[op.outputs[0]]
            if (float(twin.scale[0]), int(twin.zero[0])) == (np.float32(scale), zero):
                return op.outputs[0]
    return graph.add("QUANTIZE", [number], integer_like(graph, number, scale, zero))


def integer_like(graph, number, scale, zero):
    """Add an int8 tensor of the same shape; returns its number."""
    return graph.like(
        number,
        type=INT8,
        scale=np.array([scale], "float32"),
        zero=np.array([zero], "int64"),
    )


def integer_gelu(graph):
    """Keep a GELU between two integer layers in int8: a table of 256 values.

    A MINIMUM behind it goes away, since the integer range ends at the same bound.

    Args:
        graph: `TFLiteGraph` with integer layers.
    """
    for gelu in [op for op in graph.operators if op.name == "GELU"]:
        before, after = graph.maker(gelu.inputs[0]), graph.only_user(gelu.outputs[0])
        if after is not None and after.name == "MINIMUM":
            after = graph.only_user(after.outputs[0])
        names = [op and op.name for op in (before, after)]
        if names == ["DEQUANTIZE", "QUANTIZE"]:
            gelu.inputs, gelu.outputs = [before.inputs[0]], [after.outputs[0]]
            graph.operators.remove(after)


def _weight(graph, operator, least=0.0):
    """Quantize a layer's weight to int8; returns its number and scales."""
    old = graph.tensors[operator.inputs[1]]
    integers, scale = quantize_weight(old.data, steps=old.scale, least=least)
    zero = np.zeros(len(scale), "int64")
    made = TFLiteTensor(old.name, old.shape, INT8, integers, scale, zero)
    return graph.append(made), scale
