"""Between the schema's objects and ours: buffers, scales, short names."""

import numpy as np

TYPES = {
    0: "float32",
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
        data = np.frombuffer(np.asarray(raw, "uint8").tobytes(), TYPES[tensor.type])
        data = data.reshape(shape)
    axis = 0
    if quantization is not None and quantization.scale is not None:
        if len(quantization.scale):
            scale = np.asarray(quantization.scale, "float32")
            zero = np.asarray(quantization.zeroPoint, "int64")
            axis = quantization.quantizedDimension
    return tensor.name.decode(), shape, tensor.type, data, scale, zero, axis


def pack(graph, also=()):
    """Serialise a `Graph`; see `Graph.save`."""
    import flatbuffers

    schema, operators = graph.schema, graph.ordered(also)
    used = {i for op in operators for i in (*op.inputs, *op.outputs) if i >= 0}
    used = sorted(used | {*graph.inputs, *graph.outputs})
    numbers = {old: new for new, old in enumerate(used)}
    model, inner = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, graph.model.description
    model.buffers, shared = [schema.BufferT()], {b"": 0}
    keep = {*graph.inputs, *graph.outputs}
    inner.tensors = [
        _tensor(schema, graph.tensors[old], old in keep, model.buffers, shared)
        for old in used
    ]
    inner.inputs = [numbers[i] for i in graph.inputs]
    inner.outputs = [numbers[i] for i in dict.fromkeys([*graph.outputs, *also])]
    inner.name, model.subgraphs = b"main", [inner]
    model.operatorCodes, inner.operators = _operators(schema, operators, numbers)
    model.signatureDefs = [
        _signature(schema, signature, numbers)
        for signature in graph.model.signatureDefs
    ]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), numbers


def _tensor(schema, tensor, keep_name, buffers, shared):
    made = schema.TensorT()
    made.name = (tensor.name if keep_name else short(tensor.name)).encode()
    made.shape, made.type, made.hasRank = list(tensor.shape), tensor.type, True
    content = (
        b"" if tensor.data is None else np.ascontiguousarray(tensor.data).tobytes()
    )
    if content not in shared:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, "uint8")
        shared[content] = len(buffers)
        buffers.append(buffer)
    made.buffer = shared[content]
    if tensor.scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = tensor.scale
        made.quantization.zeroPoint = tensor.zero
        made.quantization.quantizedDimension = tensor.axis
    return made


def _operators(schema, operators, numbers):
    codes, made = {}, []
    for op in operators:
        new = schema.OperatorT()
        new.__dict__.update(op.raw.__dict__)
        new.opcodeIndex = codes.setdefault((op.name, op.version), len(codes))
        new.inputs = [numbers.get(i, -1) for i in op.inputs]
        new.outputs = [numbers[i] for i in op.outputs]
        made.append(new)
    return [_code(schema, *key) for key in codes], made


def _code(schema, name, version):
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code


def _signature(schema, old, numbers):
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = old.signatureKey, 0
    for side in ("inputs", "outputs"):
        entries = []
        for entry in getattr(old, side):
            new = schema.TensorMapT()
            new.name, new.tensorIndex = entry.name, numbers[entry.tensorIndex]
            entries.append(new)
        setattr(made, side, entries)
    return made


def short(name):
    """The layer's path out of the converter's names, which fill 100 KB otherwise.

    >>> short("a/b;vit_1/block_3_1/mlp_1/fc1_1/Tensordot;x/block_3_1/fc1_1/BiasAdd")
    'block_3/fc1'
    """
    parts = [p.removesuffix("_1") for p in name.split(";")[-1].split("/")]
    parts = [part for part in parts if part not in NOISE] or ["tensor"]
    return "/".join(parts[1:] or parts)[-28:]
