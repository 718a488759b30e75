"""Facts of a .tflite file: operators, ranks, weight dtypes, read from its bytes."""

import collections
import dataclasses
import mmap

from keras_vit.errors import UnsupportedLayer

MAX_RANK = 4
# Under this name a file's metadata holds the bytes of tflite-micro's arena, in digits.
ARENA = b"tflite_micro_arena_bytes"
# Variables that the converter failed to turn into constants.
STATEFUL = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


@dataclasses.dataclass(frozen=True)
class Audit:
    """Facts of a file that decide whether phones accept it.

    Args:
        operators: name -> how often. Custom ones read "CUSTOM:name".
        highest_rank: (rank, tensor name, operator that makes it).
        open_tensors: names of tensors whose shape is not fixed.
        weights: types of the constants of rank 2 or more that are not int32 or
            int64 (those are shapes): "FLOAT32", "FLOAT16", "INT8" and so on.
        signatures: their names, the first graph's first.
    """

    operators: dict
    highest_rank: tuple
    open_tensors: tuple
    weights: frozenset
    signatures: tuple = ()

    @property
    def precision(self):
        """ "int4" or "int8" if any weight is, else "float16" or "float32"."""
        if "INT4" in self.weights:
            return "int4"
        if self.weights & {"INT8", "UINT8"}:
            return "int8"
        return "float16" if "FLOAT16" in self.weights else "float32"


def audit(path):
    """Read a .tflite file without loading its weights.

    Args:
        path: the file.

    Returns:
        `Audit`.
    """
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_:
            model = schema.Model.GetRootAs(bytes_, 0)
            return _read(model, schema)


def load(path):
    """Read a file as the schema's `ModelT`, with all weights.

    Larger files hold their values behind the flatbuffer.

    Args:
        path: `.tflite` file.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        content = file.read()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            span = {"count": buffer.size, "offset": buffer.offset}
            buffer.data = np.frombuffer(content, "uint8", **span)
            buffer.offset = buffer.size = 0
    return model


def noted(path, name):
    """Bytes that a `.tflite` file's metadata stores under a name, or None."""
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_:
            model = schema.Model.GetRootAs(bytes_, 0)
            for entry in map(model.Metadata, range(model.MetadataLength())):
                if entry.Name() == name:
                    return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _read(model, schema):
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    types = {value: key for key, value in vars(schema.TensorType).items()}
    operators, highest = collections.Counter(), (0, "", "")
    open_tensors, weights = [], set()
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        makers, inputs = {}, {graph.Inputs(i) for i in range(graph.InputsLength())}
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = codes[operator.OpcodeIndex()]
            name = operator_name(code, names)
            operators[name] += 1
            for i in range(operator.OutputsLength()):
                makers[operator.Outputs(i)] = name
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            label, rank = tensor.Name().decode(), tensor.ShapeLength()
            highest = max(highest, (rank, label, makers.get(index, "constant")))
            signature = tensor.ShapeSignatureLength()
            if any(tensor.ShapeSignature(i) < 0 for i in range(signature)):
                open_tensors.append(label)
            constant = index not in makers and index not in inputs
            if constant and rank > 1:
                weights.add(types[tensor.Type()])
    weights -= {"INT32", "INT64"}
    signatures = (model.SignatureDefs(i) for i in range(model.SignatureDefsLength()))
    signatures = sorted(signatures, key=lambda signature: signature.SubgraphIndex())
    return Audit(
        dict(operators),
        highest,
        tuple(open_tensors),
        frozenset(weights),
        tuple(signature.SignatureKey().decode() for signature in signatures),
    )


def operator_name(code, names):
    """The schema's name of an operator; custom ones read "CUSTOM:name"."""
    value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = names.get(value, f"BUILTIN_{value}")
    return f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name


def check(path, facts, static):
    """Refuse a file that delegates on phones refuse.

    Args:
        path: for the message. facts: `Audit`. static: whether every shape
            must be fixed.

    Raises:
        UnsupportedLayer: naming the operator or tensor.
    """
    for name in facts.operators:
        if name.startswith("CUSTOM") or name in STATEFUL:
            raise UnsupportedLayer(
                f"{path}: must hold builtin operators only, got {name}. Replace the "
                "layer that needs it, or use to_savedmodel."
            )
    rank, tensor, operator = facts.highest_rank
    if rank > MAX_RANK:
        raise UnsupportedLayer(
            f"{path}: must hold no tensor above rank {MAX_RANK}, got rank {rank} from "
            f"{operator} ({tensor}). Split the reshape in the layer that makes it."
        )
    if static and facts.open_tensors:
        raise UnsupportedLayer(
            f"{path}: must have fixed shapes only, got an open one in "
            f"{facts.open_tensors[0]!r}. Give the layer a fixed size, or pass "
            "dynamic_batch=True."
        )
