"""ONNX nodes of each Keras layer: one function per layer class.

Each takes the graph, the layer, the names of its inputs and the Keras node of the
call, and returns the name of the result. Layers inside layers are written by the
functions without underscore arguments, which take a tensor's name and its shape.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_vit import layers
from keras_vit.errors import UnsupportedLayer
from keras_vit.layers.mlp import gelu, gelu_tanh


def values(variable):
    """A weight as a float32 numpy array."""
    return np.asarray(ops.convert_to_numpy(variable), dtype="float32")


def _simple(operator, **attributes):
    return lambda graph, x: graph.add(operator, x, **attributes)


def write_gelu(graph, x, tanh=False):
    """Write GELU as one operator from opset 20 on, as several before."""
    if graph.opset >= 20:
        return graph.add("Gelu", x, approximate="tanh" if tanh else "none")
    half, one = graph.array(0.5, "half"), graph.array(1.0, "one")
    if tanh:
        cube = graph.add("Mul", graph.add("Mul", x, x), x)
        cube = graph.add("Mul", cube, graph.array(0.044715, "cubic"))
        inner = graph.add("Add", x, cube)
        inner = graph.add("Mul", inner, graph.array(math.sqrt(2 / math.pi), "scale"))
        bell = graph.add("Tanh", inner)
    else:
        scaled = graph.add("Mul", x, graph.array(math.sqrt(0.5), "scale"))
        bell = graph.add("Erf", scaled)
    return graph.add("Mul", graph.add("Mul", x, half), graph.add("Add", bell, one))


ACTIVATIONS = {
    keras.activations.linear: lambda graph, x: x,
    keras.activations.relu: _simple("Relu"),
    keras.activations.tanh: _simple("Tanh"),
    keras.activations.sigmoid: _simple("Sigmoid"),
    keras.activations.softmax: _simple("Softmax", axis=-1),
    gelu: write_gelu,
    gelu_tanh: functools.partial(write_gelu, tanh=True),
    keras.activations.gelu: write_gelu,
}


def write_activation(graph, layer, x):
    """The activation of a Dense or Activation layer."""
    return ACTIVATIONS[layer.activation](graph, x)


def rows(graph, x, width):
    """Reshape all tokens of all images to one matrix, (B*T, D)."""
    return graph.reshape(x, (-1, width))


def linear(graph, x, kernel, bias, hint):
    """Write x @ kernel + bias on a matrix, the fastest form in every runtime."""
    given = [x, graph.array(kernel, f"{hint}/kernel")]
    if bias is not None:
        given.append(graph.array(bias, f"{hint}/bias"))
    return graph.add("Gemm", *given)


def write_dense(graph, layer, x):
    """A Dense layer on a matrix, without its activation."""
    bias = values(layer.bias) if layer.use_bias else None
    return linear(graph, x, values(layer.kernel), bias, layer.name)


def write_norm(graph, layer, x, factor=1.0):
    """A LayerNorm; `factor` scales its result."""
    return graph.add(
        "LayerNormalization",
        x,
        graph.array(values(layer.gamma) * factor, f"{layer.name}/gamma"),
        graph.array(values(layer.beta) * factor, f"{layer.name}/beta"),
        axis=-1,
        epsilon=layer.epsilon,
    )


def write_scale(graph, layer, x):
    """A LayerScale, or nothing for None."""
    if layer is None:
        return x
    return graph.add("Mul", x, graph.array(values(layer.gamma), f"{layer.name}/gamma"))


def write_attention(graph, layer, x, length, width):
    """Self-attention on (B*T, D); 1/sqrt(d) is folded into the query's weights."""
    heads, head = layer.heads, width // layer.heads
    factor = 1.0 / math.sqrt(head)
    columns = np.ones(3 * width, "float32")
    if not layer.qk_norm:
        columns[:width] = factor
    bias = values(layer.qkv.bias) * columns if layer.use_bias else None
    x = linear(graph, x, values(layer.qkv.kernel) * columns, bias, "qkv")
    x = graph.reshape(x, (-1, length, 3 * heads, head))
    x = graph.transpose(x, 0, 2, 1, 3)  # (B, 3A, T, d): the parts lie in one piece
    query, key, value = graph.add("Split", x, outputs=3, axis=1, num_outputs=3)
    if layer.qk_norm:
        query = write_norm(graph, layer.query_norm, query, factor)
        key = write_norm(graph, layer.key_norm, key)
    scores = graph.add("MatMul", query, graph.transpose(key, 0, 1, 3, 2))
    if layer.relative_position:
        logits = write_offsets(graph, layer, query, heads, length)
        scores = graph.add("Add", scores, logits)
    x = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    x = rows(graph, graph.transpose(x, 0, 2, 1, 3), width)
    return write_dense(graph, layer.proj, x)


def write_offsets(graph, layer, query, heads, length):
    """Write the logits of relative positions, by a skewed product as in the layer."""
    table = graph.array(values(layer.offsets).T, "offsets")
    logits = graph.add("MatMul", query, table)  # (B, A, T, 2T-1)
    pads = graph.integers([0] * 7 + [1])
    logits = graph.add("Pad", logits, pads)
    flat = graph.reshape(logits, (0, heads, length * 2 * length))
    flat = graph.slice(flat, 0, length * (2 * length - 1), 2)
    skewed = graph.reshape(flat, (0, heads, length, 2 * length - 1))
    return graph.slice(skewed, length - 1, 2 * length - 1, 3)


def write_mlp(graph, layer, x):
    """Two dense layers around GELU, on a matrix."""
    x = write_dense(graph, layer.fc1, x)
    x = write_gelu(graph, x, tanh=layer.activation == "gelu_tanh")
    return write_dense(graph, layer.fc2, x)


def _patches(graph, layer, inputs, node):
    _, height, width, channels = node.input_tensors[0].shape
    rows, columns = layer.patch_size
    h, w = height // rows, width // columns
    x = graph.reshape(inputs[0], (-1, rows, w, columns * channels))
    x = graph.transpose(x, 0, 2, 1, 3)
    return graph.reshape(x, (-1, h * w, rows * columns * channels))


def _patch_encoder(graph, layer, inputs, node):
    kernel = graph.array(values(layer.projection.kernel), "projection/kernel")
    x = graph.add("MatMul", inputs[0], kernel)
    count, prefix = node.input_tensors[0].shape[1], layer.prefix_tokens
    added = np.zeros((1, prefix + count, layer.width), "float32")
    if layer.use_bias:
        added[:, prefix:] += values(layer.projection.bias)
    constant = layer._constant()
    if constant is not None:
        added += values(constant)
    if prefix:
        x = graph.add("Pad", x, graph.integers([0, prefix, 0, 0, 0, 0]))
    return graph.add("Add", x, graph.array(added, "position"))


def _block(graph, layer, inputs, node):
    _, length, width = node.input_tensors[0].shape
    x = rows(graph, inputs[0], width)
    branch = write_norm(graph, layer.norm1, x)
    with graph.scope("attention"):
        branch = write_attention(graph, layer.attention, branch, length, width)
    x = graph.add("Add", x, write_scale(graph, layer.scale1, branch))
    branch = write_norm(graph, layer.norm2, x)
    with graph.scope("mlp"):
        branch = write_mlp(graph, layer.mlp, branch)
    x = graph.add("Add", x, write_scale(graph, layer.scale2, branch))
    return graph.reshape(x, (-1, length, width))


def _attention(graph, layer, inputs, node):
    _, length, width = node.input_tensors[0].shape
    x = write_attention(graph, layer, rows(graph, inputs[0], width), length, width)
    return graph.reshape(x, (-1, length, width))


def _mlp(graph, layer, inputs, node):
    shape = node.input_tensors[0].shape
    x = write_mlp(graph, layer, rows(graph, inputs[0], shape[-1]))
    return graph.reshape(x, (-1, *shape[1:]))


def _norm(graph, layer, inputs, node):
    return write_norm(graph, layer, inputs[0])


def _layer_scale(graph, layer, inputs, node):
    return write_scale(graph, layer, inputs[0])


def _token_pooling(graph, layer, inputs, node):
    return graph.add("Gather", inputs[0], graph.integers(layer.index), axis=1)


def _mean_pooling(graph, layer, inputs, node):
    x = inputs[0]
    if layer.prefix:
        x = graph.slice(x, layer.prefix, node.input_tensors[0].shape[1], 1)
    return graph.add("ReduceMean", x, graph.integers([1]), keepdims=0)


def _attention_pooling(graph, layer, inputs, node):
    _, length, width = node.input_tensors[0].shape
    heads, head = layer.heads, width // layer.heads
    query = values(layer.probe)[0] @ values(layer.query.kernel) + values(
        layer.query.bias
    )
    query = query.reshape(heads, head, 1) / math.sqrt(head)  # (A, d, 1)

    tokens = rows(graph, inputs[0], width)

    def split(dense):
        x = write_dense(graph, dense, tokens)
        return graph.transpose(graph.reshape(x, (-1, length, heads, head)), 0, 2, 1, 3)

    scores = graph.add("MatMul", split(layer.key), graph.array(query, "query"))
    scores = graph.reshape(scores, (0, heads, 1, length))
    weights = graph.add("Softmax", scores, axis=-1)
    x = graph.add("MatMul", weights, split(layer.value))  # (B, A, 1, d)
    x = write_dense(graph, layer.proj, rows(graph, x, width))
    branch = write_mlp(graph, layer.mlp, write_norm(graph, layer.norm, x))
    return graph.add("Add", x, branch)


def _dense(graph, layer, inputs, node):
    shape, x = node.input_tensors[0].shape, inputs[0]
    if len(shape) > 2:
        x = rows(graph, x, shape[-1])
    x = write_activation(graph, layer, write_dense(graph, layer, x))
    return graph.reshape(x, (-1, *shape[1:-1], layer.units)) if len(shape) > 2 else x


def _activation(graph, layer, inputs, node):
    return write_activation(graph, layer, inputs[0])


def _identity(graph, layer, inputs, node):
    return inputs[0]


def _average(graph, layer, inputs, node):
    return graph.add("Mean", *inputs)


def _reshape(graph, layer, inputs, node):
    return graph.reshape(inputs[0], (0, *layer.target_shape))


def write_slice(graph, operation, inputs, node):
    """Write the indexing of a symbolic tensor, `x[:, 1:]`."""
    args, kwargs = node.arguments.args, node.arguments.kwargs
    key = kwargs["key"] if "key" in kwargs else args[1]
    key = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, (slice, int)) for part in key):
        raise UnsupportedLayer(f"onnx: cannot write the index {key!r}. Use slices.")
    x, shape, dropped = inputs[0], node.input_tensors[0].shape, 0
    for axis, part in enumerate(key):
        if isinstance(part, int):
            x = graph.add("Gather", x, graph.integers(part), axis=axis - dropped)
            dropped += 1
        elif part != slice(None):
            start, end, step = part.indices(shape[axis])
            x = graph.slice(x, start, end, axis - dropped, step)
    return x


WRITERS = {
    layers.Patches: _patches,
    layers.PatchEncoder: _patch_encoder,
    layers.TransformerBlock: _block,
    layers.Attention: _attention,
    layers.MLP: _mlp,
    layers.LayerNorm: _norm,
    layers.LayerScale: _layer_scale,
    layers.TokenPooling: _token_pooling,
    layers.MeanPooling: _mean_pooling,
    layers.AttentionPooling: _attention_pooling,
    keras.layers.Dense: _dense,
    keras.layers.Activation: _activation,
    keras.layers.Dropout: _identity,
    keras.layers.Average: _average,
    keras.layers.Reshape: _reshape,
}
