"""ONNX nodes of convolutions: stems of hybrids, Big Transfer, Keras' own layers.

Keras keeps channels last, ONNX first: every layer here transposes on its way in and
out, and runtimes cancel the pairs in between.
"""

import keras
import numpy as np

from keras_vit.export.formats.onnx.ops import values, write_activation
from keras_vit.layers.conv import (
    GROUPS,
    BottleneckUnit,
    GroupNorm,
    PreactivationUnit,
    StdConv,
)
from keras_vit.models.hybrid import RootPool

SAME = {"auto_pad": "SAME_UPPER"}


def writable(layer):
    """Whether the ONNX function of a layer supports its options."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.axis in (-1, 3)
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _channels_first(graph, x):
    return graph.transpose(x, 0, 3, 1, 2)


def _channels_last(graph, x):
    return graph.transpose(x, 0, 2, 3, 1)


def write_conv(graph, layer, x):
    """Write a StdConv on (B, C, H, W) with its kernel standardised at export."""
    kernel = values(layer.standardised_kernel()).transpose(3, 2, 0, 1)
    return graph.add(
        "Conv",
        x,
        graph.array(kernel, f"{layer.name}/kernel"),
        strides=[layer.strides] * 2,
        **({"pads": [layer.margin] * 4} if layer.margin else SAME),
    )


def write_group_norm(graph, layer, x, shape):
    """Write a GroupNorm on (B, C, H, W) as instance norms of the groups."""
    _, channels, height, width = shape
    before = x
    ones, zeros = np.ones(GROUPS), np.zeros(GROUPS)
    x = graph.add(
        "InstanceNormalization",
        graph.reshape(x, (0, GROUPS, -1)),
        graph.array(ones, "ones"),
        graph.array(zeros, "zeros"),
        epsilon=layer.epsilon,
    )
    if None in (height, width):  # inside a model that takes images of any size
        x = graph.add("Reshape", x, graph.add("Shape", before))
    else:
        x = graph.reshape(x, (0, channels, height, width))
    gamma = values(layer.gamma).reshape(-1, 1, 1)
    beta = values(layer.beta).reshape(-1, 1, 1)
    x = graph.add("Mul", x, graph.array(gamma, f"{layer.name}/gamma"))
    return graph.add("Add", x, graph.array(beta, f"{layer.name}/beta"))


def _conv(graph, layer, inputs, node):
    x = write_conv(graph, layer, _channels_first(graph, inputs[0]))
    return _channels_last(graph, x)


def _group_norm(graph, layer, inputs, node):
    batch, height, width, channels = node.input_tensors[0].shape
    shape = (batch, channels, height, width)
    x = write_group_norm(graph, layer, _channels_first(graph, inputs[0]), shape)
    return _channels_last(graph, x)


def _root_pool(graph, layer, inputs, node):
    x = graph.add(
        "MaxPool",
        _channels_first(graph, inputs[0]),
        kernel_shape=[3, 3],
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    )
    return _channels_last(graph, x)


def _bottleneck(graph, unit, inputs, node):
    def pair(x, conv, norm, shape):
        """Convolution and norm; gives the result and its Keras shape."""
        batch, height, width, channels = conv.compute_output_shape(shape)
        x = write_conv(graph, conv, x)
        x = write_group_norm(graph, norm, x, (batch, channels, height, width))
        return x, (batch, height, width, channels)

    shape = node.input_tensors[0].shape
    start = shortcut = _channels_first(graph, inputs[0])
    if unit.conv_proj is not None:
        shortcut, _ = pair(start, unit.conv_proj, unit.norm_proj, shape)
    x, shape = pair(start, unit.conv1, unit.norm1, shape)
    x, shape = pair(graph.add("Relu", x), unit.conv2, unit.norm2, shape)
    x, shape = pair(graph.add("Relu", x), unit.conv3, unit.norm3, shape)
    return _channels_last(graph, graph.add("Relu", graph.add("Add", shortcut, x)))


def _preactivation(graph, unit, inputs, node):
    def normed(x, norm, shape):
        """Norm and ReLU of a tensor with this Keras shape."""
        batch, height, width, channels = shape
        x = write_group_norm(graph, norm, x, (batch, channels, height, width))
        return graph.add("Relu", x)

    shape = node.input_tensors[0].shape
    shortcut = _channels_first(graph, inputs[0])
    x = normed(shortcut, unit.norm1, shape)
    if unit.conv_proj is not None:
        shortcut = write_conv(graph, unit.conv_proj, x)
    x = write_conv(graph, unit.conv1, x)
    shape = unit.conv1.compute_output_shape(shape)
    x = write_conv(graph, unit.conv2, normed(x, unit.norm2, shape))
    shape = unit.conv2.compute_output_shape(shape)
    x = write_conv(graph, unit.conv3, normed(x, unit.norm3, shape))
    return _channels_last(graph, graph.add("Add", shortcut, x))


def _plain_conv(graph, layer, inputs, node):
    """Write Keras' own convolution."""
    kernel = values(layer.kernel).transpose(3, 2, 0, 1)
    tensors = [_channels_first(graph, inputs[0])]
    tensors.append(graph.array(kernel, f"{layer.name}/kernel"))
    if layer.use_bias:
        tensors.append(graph.array(values(layer.bias), f"{layer.name}/bias"))
    x = graph.add(
        "Conv",
        *tensors,
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        group=layer.groups,
        **({} if layer.padding == "valid" else SAME),
    )
    return write_activation(graph, layer, _channels_last(graph, x))


def _batch_norm(graph, layer, inputs, node):
    """Write batch norm by its moving statistics, as scale and offset per channel."""
    factor = 1 / np.sqrt(values(layer.moving_variance) + layer.epsilon)
    factor = factor * values(layer.gamma) if layer.scale else factor
    term = -values(layer.moving_mean) * factor
    term = term + values(layer.beta) if layer.center else term
    x = graph.add("Mul", inputs[0], graph.array(factor, f"{layer.name}/factor"))
    return graph.add("Add", x, graph.array(term, f"{layer.name}/term"))


def _pad(graph, layer, inputs, node):
    (top, bottom), (left, right) = layer.padding
    pads = graph.integers([0, top, left, 0, 0, bottom, right, 0])
    # onnxruntime 1.31 moves a pad by exactly 0 into the MaxPool behind it, which pads
    # with minus infinity: another answer where all features of a window are negative.
    zero = graph.array(np.finfo("float32").tiny, "almost_zero")
    return graph.add("Pad", inputs[0], pads, zero)


def _max_pool(graph, layer, inputs, node):
    x = graph.add(
        "MaxPool",
        _channels_first(graph, inputs[0]),
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        **({} if layer.padding == "valid" else SAME),
    )
    return _channels_last(graph, x)


def _mean(graph, layer, inputs, node):
    keep = int(layer.keepdims)
    return graph.add("ReduceMean", inputs[0], graph.integers([1, 2]), keepdims=keep)


def _add(graph, layer, inputs, node):
    first, *others = inputs
    for other in others:
        first = graph.add("Add", first, other)
    return first


STEM_WRITERS = {
    StdConv: _conv,
    GroupNorm: _group_norm,
    RootPool: _root_pool,
    BottleneckUnit: _bottleneck,
    PreactivationUnit: _preactivation,
    keras.layers.Conv2D: _plain_conv,
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.ZeroPadding2D: _pad,
    keras.layers.MaxPooling2D: _max_pool,
    keras.layers.GlobalAveragePooling2D: _mean,
    keras.layers.Add: _add,
}
