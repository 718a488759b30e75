"""Operators and tensors of a `.tflite` file, read without its weights."""

import mmap

from keras_vit.export.inspection.anatomy import (
    Anatomy,
    Operator,
    Tensor,
    count_macs,
    product_kind,
)
from keras_vit.export.runtime.tflite_file import operator_name

SERVE = b"serving_default"


def read(path, signature=None):
    """Read a file's `Anatomy`.

    Args:
        path: `.tflite` file.
        signature: whose graph; None for `serving_default` or the first.

    Returns:
        `Anatomy`, tensors by their number.
    """
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            model = schema.Model.GetRootAs(content, 0)
            wanted = SERVE if signature is None else signature.encode()
            return _anatomy(schema, model, _graph_of(model, wanted))


def _graph_of(model, wanted):
    """Number of the graph of a signature, else the first."""
    for index in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(index)
        if signature.SignatureKey() == wanted:
            return signature.SubgraphIndex()
    return 0


def _anatomy(schema, model, place):
    graph = model.Subgraphs(place)
    types = {value: key.lower() for key, value in vars(schema.TensorType).items()}
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    count = graph.TensorsLength()
    raw = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    computed = {op.Outputs(i) for op in raw for i in range(op.OutputsLength())}
    inputs = tuple(graph.Inputs(i) for i in range(graph.InputsLength()))
    tensors = {}
    for number in range(count):
        fixed = number not in computed and number not in inputs
        tensors[number] = _tensor(model, graph.Tensors(number), types, fixed)
    operators = []
    for op in raw:
        name = operator_name(model.OperatorCodes(op.OpcodeIndex()), names)
        sides = [
            tuple(get(i) for i in range(length) if get(i) >= 0)
            for get, length in (
                (op.Inputs, op.InputsLength()),
                (op.Outputs, op.OutputsLength()),
            )
        ]
        macs, kind = _work(schema, op, name, [tensors[k] for k in sides[0]], tensors)
        operators.append(Operator(name, *sides, macs, kind))
    outputs = tuple(graph.Outputs(i) for i in range(graph.OutputsLength()))
    return Anatomy("tflite", tensors, operators, inputs, outputs, place)


def _tensor(model, raw, types, constant):
    signature = [raw.ShapeSignature(i) for i in range(raw.ShapeSignatureLength())]
    shape = signature or [raw.Shape(i) for i in range(raw.ShapeLength())]
    quantization, scale, zero = raw.Quantization(), None, 0
    if quantization is not None and quantization.ScaleLength() == 1:
        scale, zero = float(quantization.Scale(0)), int(quantization.ZeroPoint(0))
    size = 0
    if constant:
        buffer = model.Buffers(raw.Buffer())
        size = max(buffer.DataLength(), buffer.Size() if buffer.Offset() > 1 else 0)
    return Tensor(
        name=raw.Name().decode(),
        dtype=types[raw.Type()],
        shape=tuple(None if side < 0 else int(side) for side in shape),
        constant=constant,
        size_bytes=size,
        storage=raw.Buffer(),
        scale=scale,
        zero=zero,
    )


def _work(schema, raw, name, inputs, tensors):
    """(multiplications, kind) of an operator; (0, "") for none."""
    result = tensors[raw.Outputs(0)].shape if raw.OutputsLength() else ()
    if name == "BATCH_MATMUL":
        options = schema.BatchMatMulOptions()
        table = raw.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        depth = inputs[0].shape[-2 if options.AdjX() else -1]
    elif name == "FULLY_CONNECTED":
        depth = inputs[1].shape[-1]
    elif name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        rows, columns, channels = inputs[1].shape[1:]
        depth = rows * columns * (channels if name == "CONV_2D" else 1)
    else:
        return 0, ""
    return count_macs(result, depth or 1), product_kind(inputs[0], inputs[1])
