"""The graph of a `.tflite` file as Python objects: read, edit, write."""

import copy
import dataclasses
import os

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.graph import packing
from keras_vit.export.runtime import tflite_file

# Types of the schema, https://github.com/google-ai-edge/LiteRT, schema.fbs.
FLOAT32, INT32, UINT8, INT64, INT16, INT8, INT4 = 0, 2, 3, 4, 7, 9, 17
OPTIONS = {
    "ADD": "AddOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONV_2D": "Conv2DOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MUL": "MulOptions",
    "QUANTIZE": "QuantizeOptions",
    "SUB": "SubOptions",
}


@dataclasses.dataclass
class TFLiteTensor:
    """One tensor; `data` is None for what the graph computes.

    Args:
        scale, zero: (1,) or (channels,) float32 and int64 of an integer tensor; with
            blocks, scale is (channels, blocks) and zero is None.
        axis: of the channels that have scales of their own.
        block: neighbours along the last axis that share a scale, or 0.
    """

    name: str
    shape: tuple
    type: int = FLOAT32
    data: np.ndarray | None = None
    scale: np.ndarray | None = None
    zero: np.ndarray | None = None
    axis: int = 0
    block: int = 0


@dataclasses.dataclass(eq=False)
class TFLiteOperator:
    """One operator; `raw` is the schema's object with all its options."""

    name: str
    inputs: list
    outputs: list
    raw: object
    version: int = 1

    @property
    def fused(self):
        """Whether an activation function is applied to the result."""
        options = self.raw.builtinOptions
        return bool(getattr(options, "fusedActivationFunction", 0))


class TFLiteGraph:
    """The operators and tensors of one file.

    Tensors are addressed by their number. Operators may be appended in any order:
    `save` sorts them by dependency and drops what no output needs.

    Args:
        path: float32 `.tflite` file with one graph.

    Attributes:
        tensors: list of `TFLiteTensor`. operators: list of `TFLiteOperator`.
        inputs, outputs: numbers of tensors.

    Raises:
        UnsupportedLayer: for a file with several graphs (control flow).
    """

    def __init__(self, path):
        from ai_edge_litert import schema_py_generated as schema

        self.model = tflite_file.load(path)
        if len(self.model.subgraphs) != 1:
            raise UnsupportedLayer(
                f"{os.path.basename(path)}: must hold one graph to be quantized, got "
                f"{len(self.model.subgraphs)}. Replace the layer with a condition or "
                "loop, or use dynamic_int8."
            )
        self.schema, graph = schema, self.model.subgraphs[0]
        self.tensors = [packing.read(t, self.model.buffers) for t in graph.tensors]
        self.tensors = [TFLiteTensor(*parts) for parts in self.tensors]
        self.operators = [self._read(operator) for operator in graph.operators]
        self.inputs = [int(i) for i in graph.inputs]
        self.outputs = [int(i) for i in graph.outputs]

    def _read(self, raw):
        code = self.model.operatorCodes[raw.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        kinds = vars(self.schema.BuiltinOperator).items()
        name = next(key for key, value in kinds if value == number)
        numbers = [[int(i) for i in side] for side in (raw.inputs, raw.outputs)]
        return TFLiteOperator(name, *numbers, raw, code.version)

    def copy(self):
        """Copy the graph for separate edits; tensors keep their numbers."""
        graph = copy.copy(self)
        graph.tensors, graph.outputs = list(self.tensors), list(self.outputs)
        graph.inputs = list(self.inputs)
        graph.operators = [
            dataclasses.replace(op, inputs=list(op.inputs), outputs=list(op.outputs))
            for op in self.operators
        ]
        return graph

    def constant(self, data, name="constant"):
        """Add a float32 constant; returns its number."""
        data = np.ascontiguousarray(data, dtype="float32")
        return self.append(TFLiteTensor(name, data.shape, data=data))

    def append(self, tensor):
        """Add a tensor; returns its number."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def like(self, number, **changes):
        """Add a computed tensor with the shape of another; returns its number."""
        made = dataclasses.replace(self.tensors[number], data=None, **changes)
        return self.append(made)

    def add(self, name, inputs, output, version=1, **options):
        """Append an operator with one output.

        Args:
            name: of the schema. inputs: numbers. output: number.
            version: of the operator, as the runtime counts. options: of the schema.

        Returns:
            The output's number.
        """
        raw = self.schema.OperatorT()
        kind = OPTIONS.get(name)
        if kind:
            raw.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            raw.builtinOptions = getattr(self.schema, f"{kind}T")()
            for key, value in options.items():
                setattr(raw.builtinOptions, key, value)
        self.operators.append(
            TFLiteOperator(name, list(inputs), [output], raw, version)
        )
        return output

    def maker(self, number):
        """The operator that makes a tensor, or None."""
        return next((op for op in self.operators if number in op.outputs), None)

    def users(self, number):
        """The operators that read a tensor."""
        return [op for op in self.operators if number in op.inputs]

    def only_user(self, number):
        """The one operator that reads a tensor, or None."""
        users = self.users(number)
        return users[0] if len(users) == 1 and number not in self.outputs else None

    def redirect(self, old, new):
        """Make every reader of one tensor read another."""
        for op in self.operators:
            op.inputs = [new if i == old else i for i in op.inputs]

    def value(self, number):
        """The data of a constant, or None."""
        return self.tensors[number].data if number >= 0 else None

    def replace(self, operator, place, data):
        """Give one operator its own new constant; others keep the old one."""
        name = "bias"
        if place < len(operator.inputs) and operator.inputs[place] >= 0:
            name = self.tensors[operator.inputs[place]].name
        made = self.constant(data, name)
        operator.inputs = [
            *operator.inputs[:place],
            made,
            *operator.inputs[place + 1 :],
        ]

    def needed(self, numbers):
        """Numbers of all tensors that the given ones depend on, and the inputs."""
        makers = {out: op for op in self.operators for out in op.outputs}
        needed, stack = set(self.inputs), list(numbers)
        while stack:
            number = stack.pop()
            if number >= 0 and number not in needed:
                needed.add(number)
                maker = makers.get(number)
                stack += [] if maker is None else [*maker.inputs, *maker.outputs]
        return needed

    def ordered(self, also=()):
        """The operators that an output needs, each after its inputs' operators.

        Args:
            also: numbers of further tensors to treat as outputs.
        """
        needed = self.needed([*self.outputs, *also])
        known = {i for i, tensor in enumerate(self.tensors) if tensor.data is not None}
        known |= {-1, *self.inputs}
        left = [op for op in self.operators if needed & set(op.outputs)]
        result = []
        while left:
            ready = [op for op in left if known.issuperset(op.inputs)]
            if not ready:
                raise RuntimeError(f"graph: {left[0].name} depends on its own output.")
            result += ready
            known.update(out for op in ready for out in op.outputs)
            left = [op for op in left if op not in ready]
        return result

    def save(self, also=()):
        """Serialise.

        Args:
            also: numbers of further tensors that the runtime shall give.

        Returns:
            (bytes of a `.tflite` file, {number here: number in the file}).
        """
        return packing.pack(self, also)
