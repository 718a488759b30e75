"""Operators and tensors of an `.onnx` file, with shapes inferred."""

import math

from keras_vit.export.formats.onnx import serialization
from keras_vit.export.inspection.anatomy import (
    Anatomy,
    Operator,
    Tensor,
    count_macs,
    product_kind,
)

# Where weight and activation stand among the inputs.
PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger", "ConvInteger")
LINEAR = {"QLinearMatMul": (0, 3), "QLinearConv": (0, 3)}


def read(path, signature=None):
    """Read a file's `Anatomy`.

    Args:
        path: `.onnx` file. signature: always None; there are none.

    Returns:
        `Anatomy`, tensors by their name.
    """
    return anatomy_of(serialization.outline(path))


def anatomy_of(model):
    """Build the `Anatomy` of what `serialization.outline` gives."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except onnx.shape_inference.InferenceError:
        graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    tensors = {name: _constant(onnx, tensor) for name, tensor in constants.items()}
    for info in (*graph.value_info, *graph.input, *graph.output):
        tensors.setdefault(info.name, _moving(onnx, info))
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for node in graph.node:
        for name in (*node.input, *node.output):
            unknown = Tensor(name, "unknown", None, node.op_type == "Constant")
            tensors.setdefault(name, unknown)
    makers = {name: node for node in nodes for name in node.output}
    operators = [_operator(node, tensors, makers) for node in nodes]
    inputs = tuple(i.name for i in graph.input if i.name not in constants)
    outputs = tuple(o.name for o in graph.output)
    return Anatomy("onnx", tensors, operators, inputs, outputs)


def _dtype(onnx, number):
    name = onnx.TensorProto.DataType.Name(number).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _constant(onnx, tensor):
    dtype, shape = _dtype(onnx, tensor.data_type), tuple(tensor.dims)
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    size = math.ceil(math.prod(shape) * (0.5 if "int4" in dtype else kind.itemsize))
    return Tensor(tensor.name, dtype, shape, True, size, tensor.name)


def _moving(onnx, info):
    tensor_type = info.type.tensor_type
    shape = tuple(
        side.dim_value if side.HasField("dim_value") else None
        for side in tensor_type.shape.dim
    )
    return Tensor(
        info.name, _dtype(onnx, tensor_type.elem_type), shape, storage=info.name
    )


def _operator(node, tensors, makers):
    inputs, outputs = tuple(filter(None, node.input)), tuple(filter(None, node.output))
    macs, kind = 0, ""
    if node.op_type in (*PRODUCTS, *LINEAR):
        places = LINEAR.get(node.op_type, (0, 1))
        first, second = (tensors[node.input[place]] for place in places)
        result = tensors[outputs[0]].shape
        if result is not None and first.shape and second.shape:
            macs = count_macs(result, _depth(node, second.shape))
        kind = _kind(node, [node.input[place] for place in places], tensors, makers)
    return Operator(node.op_type, inputs, outputs, macs, kind)


def _depth(node, weight):
    if "Conv" in node.op_type:
        return math.prod(side or 1 for side in weight[1:])
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return (weight[-1] if transposed else weight[-2]) or 1


def _kind(node, names, tensors, makers):
    """The kind of a product, through DequantizeLinear nodes that runtimes fuse."""
    stored = [tensors[_source(name, makers, tensors)] for name in names]
    maker = makers.get(names[0])
    if maker is not None and maker.op_type == "DynamicQuantizeLinear":
        return "dynamic" if stored[1].is_quantized else "float"
    return product_kind(*stored)


def _source(name, makers, tensors):
    """The tensor before a DequantizeLinear, or the tensor itself."""
    maker = makers.get(name)
    if maker is not None and maker.op_type == "DequantizeLinear":
        return maker.input[0]
    return name
