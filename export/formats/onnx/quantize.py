"""Quantization of a float32 `.onnx` file, in standard operators.

They know the graph's structure only, so that files from tf2onnx are served as well.
Weights are signed and activations unsigned 8-bit integers, the pair that onnxruntime
multiplies fastest; `saturation` scales the weights so that every processor
multiplies them alike.
"""

import dataclasses
import pathlib

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.formats.onnx import serialization
from keras_vit.export.formats.onnx.calibration import ranges
from keras_vit.export.formats.onnx.saturation import largest_values
from keras_vit.export.io.io_spec import data_file
from keras_vit.export.quantization.graph.dense_weights import scale_and_zero
from keras_vit.export.quantization.rewrites.split_outliers import outliers

# Operators that are quantized, and the rank of their weights.
RANKS = {"Gemm": 2, "MatMul": 2, "Conv": 4}
# A constant of fewer values costs more as a node that widens it than it saves.
WORTH = 128
# Range of 16-bit floats.
HALF = np.finfo("float16").max
# Outlier channels per layer at most, and the factor that its range must shrink by:
# a product of few channels costs little time here.
SHARE, LEAST_GAIN = 1 / 64, 1.3
# Operators that only move values, or keep their order.
MOVES = ("Cast", "Flatten", "Identity", "Reshape", "Slice", "Softmax", "Transpose")
# Tokens whose largest magnitude is below this count as zeros.
TINY = 1e-12
# Limit of a quantized bias, so that int32 sums do not overflow.
BIAS = 2**30


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dense or convolution layer with known weights.

    Args:
        node: `onnx.NodeProto`. x: name of its input.
        weight: (in, out), or (out, in, kh, kw) of a convolution. bias: (out,) or None.
        taken: numbers of the input's channels that pass beside the integers.
        given, result: (low, high) of input and output, where they are known.
    """

    node: object
    x: str
    weight: np.ndarray
    bias: np.ndarray | None
    taken: np.ndarray | tuple = ()
    given: tuple | None = None
    result: tuple | None = None

    @property
    def dense(self):
        """Whether it is a matrix product, not a convolution."""
        return self.weight.ndim == 2


def requantize(file, recipe, images, verbose=1):
    """Apply a recipe to a file, in place.

    Args:
        file: float32 `.onnx` file.
        recipe: `QuantizationRecipe`, a row of `RECIPES`.
        images: (N, H, W, C) float32 to look at; "float16" needs none.
        verbose: 0 for no progress.

    Raises:
        UnsupportedLayer: when there is nothing in the file that it applies to.
    """
    graph = serialization.read(file)
    count = recipe.apply(graph, file, images, verbose)
    if not count:
        raise UnsupportedLayer(
            f"{pathlib.Path(file).name}: {recipe.name} needs dense or convolution "
            "layers with known weights, got none. Export with quantization=None."
        )
    graph.facts["quantization"] = recipe.name
    data_file(file).unlink(missing_ok=True)
    serialization.save(graph, file)
    serialization.check(file)


def float16(graph, *_):
    """Store the weights in 16-bit floats, for half the size at the same accuracy.

    A Cast widens each to float32, once, when the file is loaded; all arithmetic stays
    in float32.

    Args:
        graph: float `OnnxGraph`, changed in place. *_: what it needs not of a recipe.

    Returns:
        How many constants became smaller.
    """
    nodes, graph.nodes = graph.nodes, []
    names = {}
    for name, values in list(graph.constants.items()):
        if values.dtype == "float32" and values.size >= WORTH and _fits_half(values):
            names[name] = _half(graph, graph.constants.pop(name), name)
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
    graph.nodes += nodes
    return len(names)


def _fits_half(values):
    return np.abs(values).max() <= HALF


def _half(graph, values, hint):
    """Add a constant in 16-bit floats; returns the name of its float32 cast."""
    from onnx import TensorProto

    half = graph.array(values, f"{hint}/half", "float16")
    return graph.add("Cast", half, to=TensorProto.FLOAT)


def integer(graph, file, images, verbose=1, static=False):
    """Store weights in 8 bits and multiply in integers.

    One quantization range serves all channels of a layer's input, so that one outlier
    channel would ruin it: `split_outlier_channels` sends it around. The layers that
    read the image and that give the answers stay in float, stored in 16 bits
    (`outer_layers`).

    Args:
        graph: float `OnnxGraph`, changed in place. file: that it was read from.
        images: (N, H, W, C) float32. verbose: 0 for no progress.
        static: whether inputs get fixed ranges, those of the images, or each token
            its own as it comes.

    Returns:
        How many layers were changed.
    """
    layers = find_layers(graph)
    if not layers:
        return 0
    outer = outer_layers(graph, layers)
    wanted = [layer.x for layer in layers]
    wanted += [layer.node.output[0] for layer in layers if static and not layer.dense]
    span = ranges(graph, file, wanted, images, verbose)
    plan = {id(layer.node): _planned(layer, span) for layer in layers}

    def replace(node):
        layer = plan.get(id(node))
        if layer is None:
            return None
        if id(node) in outer:
            return float16_layer(graph, layer)
        if not layer.dense:
            write = static_conv if static else weight_only_conv
            return write(graph, layer)
        write = static_dense if static else dynamic_dense
        if not len(layer.taken):
            return write(graph, layer)
        main, beside = split_outlier_channels(graph, layer)
        return graph.add("Add", write(graph, main), beside)

    return graph.rewrite(replace)


def find_layers(graph):
    """List dense and convolution layers whose weights are constants, in order.

    Args:
        graph: float `OnnxGraph`.

    Returns:
        list of `Layer`.
    """
    layers = []
    for node in graph.nodes:
        known = [graph.constants.get(name) for name in node.input]
        if node.domain or node.op_type not in RANKS or known[0] is not None:
            continue
        weight, bias = known[1], known[2] if len(known) > 2 else None
        fits = weight is not None and weight.ndim == RANKS[node.op_type]
        if not fits or weight.dtype != "float32" or not _plain(node):
            continue
        if _option(node, "transB"):
            weight = weight.T
        if len(known) == 2 or (bias is not None and bias.ndim == 1):
            layers.append(Layer(node, node.input[0], weight, bias))
    return layers


def outer_layers(graph, layers):
    """Find the layers that read the image itself and those that give the outputs.

    They are a small part of the work and a large part of the noise. Pixels lie between
    the steps of an 8-bit range that holds 0: in a Ti/16 the patch projection alone made
    a third of the noise of all 50 layers.

    Args:
        graph: float `OnnxGraph`. layers: its `Layer`s.

    Returns:
        ids of their nodes; empty where no other layers are left.
    """
    ends = {value.name for value in graph.outputs}
    for node in reversed(graph.nodes):
        if node.op_type in MOVES and node.output[0] in ends:
            ends.add(node.input[0])
    images = {value.name for value in graph.inputs}
    for node in graph.nodes:
        if node.op_type in MOVES and node.input[0] in images:
            images.add(node.output[0])
    outer = [a for a in layers if a.x in images or a.node.output[0] in ends]
    return {id(a.node) for a in outer} if len(outer) < len(layers) else set()


def _plain(node):
    """Whether a Gemm computes y = x W + b without transposing or scaling."""
    scaled = any(_option(node, name, 1.0) != 1.0 for name in ("alpha", "beta"))
    return not scaled and not _option(node, "transA")


def _option(node, name, default=0):
    from onnx import helper

    given = [entry for entry in node.attribute if entry.name == name]
    return helper.get_attribute_value(given[0]) if given else default


def _planned(layer, span):
    """Add a layer's activation ranges and its outlier channels."""
    low, high = span[layer.x]
    taken = np.zeros(0, int)
    if layer.dense and len(low) > 1:
        taken, _ = outliers(np.maximum(-low, high), 0.0, SHARE, LEAST_GAIN)
    low, high = np.delete(low, taken), np.delete(high, taken)
    result = span.get(layer.node.output[0])
    return dataclasses.replace(
        layer,
        taken=taken,
        given=(low.min(), high.max()),
        result=result and (result[0].min(), result[1].max()),
    )


def split_outlier_channels(graph, layer):
    """Compute a few outlier channels in a small float layer of their own.

    `x W = (x m) W + x_u W_u`, m = 0 for the channels u and 1 elsewhere: exact for any
    input, whatever images it was found on. Source: Dettmers et al. 2022,
    arXiv:2208.07339 (LLM.int8), section 3. Trained transformers hold such channels in
    the same place for every image: Sun et al. 2024, arXiv:2402.17762.

    Args:
        graph: `OnnxGraph`. layer: dense `Layer` of it.

    Returns:
        The layer that is left for the integers, and the name of the other's result.
    """
    mask, weight = np.ones(len(layer.weight)), layer.weight.copy()
    mask[layer.taken], weight[layer.taken] = 0.0, 0.0
    numbers = graph.array(layer.taken, "taken", "int64")
    beside = graph.add("Gather", layer.x, numbers, axis=-1)
    rows = graph.array(layer.weight[layer.taken], "taken/kernel")
    beside = graph.add("MatMul", beside, rows)
    x = graph.add("Mul", layer.x, graph.array(mask, "mask"))
    return dataclasses.replace(layer, x=x, weight=weight), beside


def dynamic_dense(graph, layer):
    """Write a product of integers, with the range of each token at run time.

    A token is divided by its size, the quotients share the range of one operator, and
    the product is multiplied by the size again.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 2; a scale per token: Yao et
    al. 2022, arXiv:2206.01861 (ZeroQuant), section 3.2.
    """
    from onnx import TensorProto

    sizes = _token_sizes(graph, layer.x)
    x = graph.add("Div", layer.x, sizes)
    x, scale, zero = graph.add("DynamicQuantizeLinear", x, outputs=3)
    integers, scales = int8_weight(layer.weight.T, dense=True)
    sums = graph.add("MatMulInteger", x, _weight(graph, integers.T), zero)
    sums = graph.add("Cast", sums, to=TensorProto.FLOAT)
    factor = graph.add("Mul", scale, graph.array(scales, "scales"))
    y = graph.add("Mul", graph.add("Mul", sums, factor), sizes)
    if layer.bias is None:
        return y
    return graph.add("Add", y, graph.array(layer.bias, "bias"))


def _token_sizes(graph, x):
    """The largest magnitude of each token, (..., 1), never 0."""
    axes = graph.integers([-1])
    high = graph.add("ReduceMax", x, axes, keepdims=1)
    low = graph.add("Neg", graph.add("ReduceMin", x, axes, keepdims=1))
    return graph.add("Max", high, low, graph.array(TINY, "tiny"))


def static_dense(graph, layer):
    """Write a product between DequantizeLinear nodes, which runtimes fuse."""
    x, weight, bias = _integer_inputs(graph, layer, axis=1)
    if bias is None:
        return graph.add("MatMul", x, weight)
    return graph.add("Gemm", x, weight, bias)


def static_conv(graph, layer):
    """Write a convolution between DequantizeLinear nodes, its output quantized too."""
    x, weight, bias = _integer_inputs(graph, layer, axis=0)
    given = [x, weight] if bias is None else [x, weight, bias]
    return _fixed(graph, graph.copy_node(layer.node, given), *layer.result)


def weight_only_conv(graph, layer):
    """Write a float convolution whose weights are stored in 8 bits."""
    integers, scales = int8_weight(layer.weight, dense=False)
    weight = _dequantized(graph, _weight(graph, integers), scales, axis=0)
    return graph.copy_node(layer.node, [layer.x, weight, *layer.node.input[2:]])


def float16_layer(graph, layer):
    """Write a float layer with 16-bit weights; None where they overflow."""
    x, kernel, *bias = layer.node.input
    if not _fits_half(graph.constants[kernel]):
        return None
    weight = _half(graph, graph.constants[kernel], "kernel")
    return graph.copy_node(layer.node, [x, weight, *bias])


def _integer_inputs(graph, layer, axis):
    """Input, weight and bias of a layer, each quantized and dequantized."""
    x = _fixed(graph, layer.x, *layer.given)
    scale, _ = scale_and_zero(*layer.given)
    bias = np.zeros(layer.weight.shape[axis]) if layer.bias is None else layer.bias
    rows = layer.weight.T if layer.dense else layer.weight
    integers, scales = int8_weight(rows, layer.dense, np.abs(bias) / (scale * BIAS))
    integers = integers.T if layer.dense else integers
    weight = _dequantized(graph, _weight(graph, integers), scales, axis)
    if layer.bias is None:
        return x, weight, None
    sums = np.round(bias / (scale * scales.astype("float64")))
    name = graph.array(sums, "bias", "int32")
    return x, weight, _dequantized(graph, name, scale * scales, axis=0)


def int8_weight(rows, dense, least=0.0):
    """Quantize a weight to -127 .. 127 with one scale per output channel.

    No two weights that are multiplied as a pair can saturate 16 bits, see
    `saturation`.

    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.2.

    Args:
        rows: (out, ...) float32. dense: whether it is a dense layer's.
        least: smallest scale, a number or (out,).

    Returns:
        int8 of the same shape, and scales (out,) float32.
    """
    scales = np.maximum(largest_values(rows, dense) / 127, np.maximum(least, 1e-12))
    steps = scales.reshape(-1, *[1] * (rows.ndim - 1))
    integers = np.clip(np.round(rows / steps), -127, 127)
    return integers.astype("int8"), scales.astype("float32")


def _weight(graph, integers):
    return graph.array(integers, "kernel", "int8")


def _fixed(graph, x, low, high):
    """Quantize a tensor to 8 bits of a fixed range."""
    scale, zero = scale_and_zero(low, high)
    scale = graph.array(scale, "scale")
    zero = graph.array(zero + 128, "zero", "uint8")
    x = graph.add("QuantizeLinear", x, scale, zero)
    return graph.add("DequantizeLinear", x, scale, zero)


def _dequantized(graph, name, scales, axis):
    """Dequantize an integer constant by a scale per channel."""
    zeros = graph.array(np.zeros(len(scales)), "zeros", graph.constants[name].dtype)
    scales = graph.array(scales, "scales")
    return graph.add("DequantizeLinear", name, scales, zeros, axis=axis)
