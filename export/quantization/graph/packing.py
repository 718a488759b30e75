"""Conversion between the schema's objects and ours: buffers, scales, names."""

import numpy as np

from keras_vit.export.conversion.layer_names import layer_path
from keras_vit.export.quantization.graph import int4_packing

TYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
}
# Words that the converter puts between a layer and its weight or result.
NOISE = ("BiasAdd", "BiasAdd1", "ReadVariableOp", "Tensordot")


def read(tensor, buffers):
    """Name, shape, type, data, scale, zero and axis of the schema's tensor."""
    raw, quantization = buffers[tensor.buffer].data, tensor.quantization
    shape = () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
    data = scale = zero = None
    if raw is not None and len(raw):
        data = np.asarray(raw, "uint8").tobytes()
        if tensor.type == int4_packing.INT4:
            data = int4_packing.unpack(data, shape)
        else:
            data = np.frombuffer(data, TYPES[tensor.type]).reshape(shape)
    axis = 0
    if quantization is not None and quantization.scale is not None:
        if len(quantization.scale):
            scale = np.asarray(quantization.scale, "float32")
            zero = np.asarray(quantization.zeroPoint, "int64")
            axis = quantization.quantizedDimension
    return tensor.name.decode(), shape, tensor.type, data, scale, zero, axis


def pack(graph, also=()):
    """Serialise a `TFLiteGraph`; see `TFLiteGraph.save`."""
    schema, operators = graph.schema, graph.ordered(also)
    used = {i for op in operators for i in (*op.inputs, *op.outputs) if i >= 0}
    used = sorted(used | {*graph.inputs, *graph.outputs})
    numbers = {old: new for new, old in enumerate(used)}
    model, inner = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, graph.model.description
    model.buffers, shared = [schema.BufferT()], {b"": 0}
    keep = {*graph.inputs, *graph.outputs}
    inner.tensors = []
    for old in used:
        tensor = graph.tensors[old]
        inner.tensors.append(
            _tensor(schema, tensor, old in keep, model.buffers, shared)
        )
    for old in (old for old in used if graph.tensors[old].block):
        owner, tensor = inner.tensors[numbers[old]], graph.tensors[old]
        owner.quantization = int4_packing.parameters(schema, tensor, len(inner.tensors))
        scales = int4_packing.scales(tensor)
        inner.tensors.append(_tensor(schema, scales, False, model.buffers, shared))
    inner.inputs = [numbers[i] for i in graph.inputs]
    inner.outputs = [numbers[i] for i in dict.fromkeys([*graph.outputs, *also])]
    inner.name, model.subgraphs = b"main", [inner]
    model.operatorCodes, inner.operators = _operators(schema, operators, numbers)
    model.signatureDefs = [
        _signature(schema, signature, numbers)
        for signature in graph.model.signatureDefs
    ]
    builder = sharing_builder()(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), numbers


def _tensor(schema, tensor, keep_name, buffers, shared):
    packed = schema.TensorT()
    packed.name = (tensor.name if keep_name else short(tensor.name)).encode()
    packed.shape, packed.type, packed.hasRank = list(tensor.shape), tensor.type, True
    packed.buffer = _buffer(schema, tensor, buffers, shared)
    if tensor.scale is not None and not tensor.block:
        packed.quantization = schema.QuantizationParametersT()
        packed.quantization.scale = tensor.scale
        packed.quantization.zeroPoint = tensor.zero
        packed.quantization.quantizedDimension = tensor.axis
    return packed


def _buffer(schema, tensor, buffers, shared):
    """Number of the buffer of a tensor's data; equal data is stored once."""
    content = b""
    if tensor.data is not None:
        data = (
            int4_packing.pack(tensor.data)
            if tensor.type == int4_packing.INT4
            else tensor.data
        )
        content = np.ascontiguousarray(data).tobytes()
    if content not in shared:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, "uint8")
        shared[content] = len(buffers)
        buffers.append(buffer)
    return shared[content]


def sharing_builder():
    """A flatbuffers.Builder that writes equal vectors once.

    Every channel with a scale has a zero point of 8 bytes, and those are zeros.
    """
    import flatbuffers

    class SharingBuilder(flatbuffers.Builder):
        def __init__(self, size):
            super().__init__(size)
            self.vectors = {}

        def CreateNumpyVector(self, x):  # noqa: N802
            key = x.dtype.str, x.tobytes()
            if key not in self.vectors:
                self.vectors[key] = super().CreateNumpyVector(x)
            return self.vectors[key]

    return SharingBuilder


def _operators(schema, operators, numbers):
    codes, packed = {}, []
    for op in operators:
        new = schema.OperatorT()
        new.__dict__.update(op.raw.__dict__)
        new.opcodeIndex = codes.setdefault((op.name, op.version), len(codes))
        new.inputs = [numbers.get(i, -1) for i in op.inputs]
        new.outputs = [numbers[i] for i in op.outputs]
        packed.append(new)
    return [_code(schema, *key) for key in codes], packed


def _code(schema, name, version):
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code


def _signature(schema, old, numbers):
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = old.signatureKey, 0
    for side in ("inputs", "outputs"):
        entries = []
        for entry in getattr(old, side):
            new = schema.TensorMapT()
            new.name, new.tensorIndex = entry.name, numbers[entry.tensorIndex]
            entries.append(new)
        setattr(signature, side, entries)
    return signature


def short(name):
    """Shorten a tensor's name to the layer's path; the converter's names fill 100 KB.

    >>> short("a/b;vit_1/block_3_1/mlp_1/fc1_1/Tensordot;x/block_3_1/fc1_1/BiasAdd")
    'block_3/fc1'
    """
    parts = [p.removesuffix("_1") for p in name.split(";")[-1].split("/")]
    parts = [part for part in parts if part not in NOISE] or ["tensor"]
    return "/".join(parts[1:] or parts)[-28:]


def layer_of(graph, op):
    """Path of the Keras layer that an operator comes from, without the model's name.

    Args:
        graph: `TFLiteGraph`. op: operator of it.
    """
    names = [graph.tensors[number].name for number in (*op.outputs, *op.inputs[1:2])]
    return layer_path(*names)
