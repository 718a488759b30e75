"""ONNX nodes for the convolutional stem of hybrids.

Keras keeps channels last, ONNX first: every layer here transposes on its way in and
out, and runtimes cancel the pairs in between.
"""

import numpy as np

from keras_vit.export.onnx_layers import values
from keras_vit.layers.conv import GROUPS, BottleneckUnit, GroupNorm, StdConv
from keras_vit.models.hybrid import RootPool


def _channels_first(graph, x):
    return graph.transpose(x, 0, 3, 1, 2)


def _channels_last(graph, x):
    return graph.transpose(x, 0, 2, 3, 1)


def write_conv(graph, layer, x):
    """A StdConv on (B, C, H, W); its kernel is standardised once and for all."""
    kernel = values(layer.standardised_kernel()).transpose(3, 2, 0, 1)
    return graph.add(
        "Conv",
        x,
        graph.array(kernel, f"{layer.name}/kernel"),
        strides=[layer.strides] * 2,
        auto_pad="SAME_UPPER",
    )


def write_group_norm(graph, layer, x, shape):
    """A GroupNorm on (B, C, H, W), as instance norms of the groups."""
    _, channels, height, width = shape
    ones, zeros = np.ones(GROUPS), np.zeros(GROUPS)
    x = graph.add(
        "InstanceNormalization",
        graph.reshape(x, (0, GROUPS, -1)),
        graph.array(ones, "ones"),
        graph.array(zeros, "zeros"),
        epsilon=layer.epsilon,
    )
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


STEM_WRITERS = {
    StdConv: _conv,
    GroupNorm: _group_norm,
    RootPool: _root_pool,
    BottleneckUnit: _bottleneck,
}
