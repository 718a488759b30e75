"""Assembly of one `.tflite` file: signatures, shared weights, metadata.

Works on the schema's own objects, so that whatever a recipe left in the converted
files is kept as it is.
"""

import copy
import hashlib

import numpy as np

from keras_vit.export.formats.tflite import metadata
from keras_vit.export.formats.tflite.io_ops import add_io_operators
from keras_vit.export.quantization.graph.packing import sharing_builder, short
from keras_vit.export.runtime import tflite_file

# Numbers of a new operator code's field that older readers look at.
OLD_CODES = 127


def assemble(target, parts, name, labels, notes=None):
    """Assemble the final file from converted parts.

    Args:
        target: `.tflite` file to write.
        parts: list of (converted file, {signature: `IOAdapter`}); the first signature
            becomes the graph that readers of a single one find.
        name: of the model. labels: class names, or None.
        notes: {name: bytes} for the metadata, or None.
    """
    assembly = Assembly()
    for path, adapters in parts:
        assembly.add(path, adapters)
    first = next(iter(parts[0][1].values()))
    assembly.note(metadata.NAME, metadata.describe(first, name, labels))
    for key, content in (notes or {}).items():
        assembly.note(key, content)
    with open(target, "wb") as file:
        file.write(assembly.pack())
    if labels is not None:
        metadata.append_labels(target, labels)


class Assembly:
    """A model under construction; equal buffers are stored once.

    Attributes:
        model: the schema's `ModelT`.
    """

    def __init__(self):
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.model = schema, schema.ModelT()
        self.model.version = 3
        self.model.buffers, self._shared = [schema.BufferT()], {}
        self.model.operatorCodes, self._codes = [], {}
        self.model.subgraphs, self.model.signatureDefs = [], []
        self.model.metadata, self._bytes = [], 0

    def add(self, path, adapters):
        """Copy a graph for each adapter from a converted file with one graph.

        Args:
            path: the file. adapters: {signature: `IOAdapter`}.
        """
        source = tflite_file.load(path)
        self.model.description = source.description
        for entry in source.metadata or []:
            known = [kept.name for kept in self.model.metadata]
            if entry.name != metadata.NAME and entry.name not in known:
                self.note(entry.name, source.buffers[entry.buffer].data)
        for name, adapter in adapters.items():
            piece = GraphPiece(self, source, adapter)
            add_io_operators(piece, adapter)
            piece.finish(name, adapter)

    def note(self, name, content):
        """Store bytes under a name in the metadata."""
        entry = self.schema.MetadataT()
        entry.name = name
        entry.buffer = self.buffer(np.frombuffer(bytes(content), "uint8"))
        self.model.metadata.append(entry)

    def buffer(self, data):
        """Number of the buffer that holds these bytes; 0 for none."""
        if data is None or not len(data):
            return 0
        key = len(data), hashlib.blake2b(np.ascontiguousarray(data)).digest()
        if key not in self._shared:
            made = self.schema.BufferT()
            made.data = data
            self._shared[key] = len(self.model.buffers)
            self.model.buffers.append(made)
            self._bytes += len(data) + 64
        return self._shared[key]

    def code(self, number, version, custom=None):
        """Index of an operator code; added where it is new."""
        key = number, version, custom
        if key not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.version, code.customCode = key[0], key[1], custom
            code.deprecatedBuiltinCode = min(number, OLD_CODES)
            self._codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[key]

    def pack(self):
        """The bytes of the file."""
        builder = _builder()(self._bytes + (1 << 20))
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return builder.Output()


def _builder():
    import flatbuffers

    class AlignedBuilder(sharing_builder()):
        """Aligns buffers to multiples of 16 bytes, as the schema requires."""

        def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803
            wide = 16 if elemSize == 1 else alignment
            return super().StartVector(elemSize, numElems, wide)

        def CreateNumpyVector(self, x):  # noqa: N802
            if x.dtype == np.uint8:  # buffers, which are different already
                return flatbuffers.Builder.CreateNumpyVector(self, x)
            return super().CreateNumpyVector(x)

    return AlignedBuilder


class GraphPiece:
    """One graph of the file, with its inputs and outputs.

    Args:
        assembly: that it belongs to. source: `ModelT` of a converted file.
        adapter: `IOAdapter`; its view says which outputs are needed.

    Attributes:
        graph: the schema's `SubGraphT`. image: number of the tensor that goes in.
        answers: numbers of the tensors that come out.
    """

    def __init__(self, assembly, source, adapter):
        self.schema, self.assembly = assembly.schema, assembly
        signature = source.signatureDefs[0]
        input_numbers = {entry.name: entry.tensorIndex for entry in signature.inputs}
        output_numbers = {entry.name: entry.tensorIndex for entry in signature.outputs}
        self._numbers, self._source = {}, source
        self.graph = self.schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        old = source.subgraphs[0]
        outputs = [
            output_numbers[tensor.name.encode()] for tensor in adapter.view.outputs
        ]
        self.image = self._adopt(old, input_numbers[adapter.view.image.name.encode()])
        for operator in _needed(old, outputs):
            self._keep(old, operator)
        self.answers = [self._adopt(old, number) for number in outputs]

    def _adopt(self, old, number):
        """Copy a tensor of the source; returns its number."""
        if number < 0:
            return number
        if number not in self._numbers:
            tensor = copy.copy(old.tensors[number])
            data = self._source.buffers[tensor.buffer].data
            tensor.buffer = self.assembly.buffer(data)
            tensor.quantization = self._scales(old, tensor.quantization)
            if self.assembly.model.subgraphs:
                # The converter's long names fill 100 KB; once is enough.
                tensor.name = short(tensor.name.decode()).encode()
            self._numbers[number] = len(self.graph.tensors)
            self.graph.tensors.append(tensor)
        return self._numbers[number]

    def _scales(self, old, table):
        """Scales of a tensor; those of blocks are stored in tensors of their own."""
        details = getattr(table, "details", None)
        if not isinstance(details, self.schema.BlockwiseQuantizationT):
            return table
        table, blocks = copy.copy(table), copy.copy(details)
        blocks.scales = self._adopt(old, blocks.scales)
        blocks.zeroPoints = self._adopt(old, blocks.zeroPoints)
        table.details = blocks
        return table

    def _keep(self, old, operator):
        code = self._source.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        kept = copy.copy(operator)
        kept.opcodeIndex = self.assembly.code(number, code.version, code.customCode)
        kept.inputs = [self._adopt(old, number) for number in operator.inputs]
        kept.outputs = [self._adopt(old, number) for number in operator.outputs]
        self.graph.operators.append(kept)

    def kind(self, number):
        """numpy's name of a tensor's dtype."""
        kinds = vars(self.schema.TensorType).items()
        value = self.graph.tensors[number].type
        return next(name.lower() for name, own in kinds if own == value)

    def codes(self, number):
        """Scale and zero point of an integer tensor that has one of each."""
        table = self.graph.tensors[number].quantization
        return float(table.scale[0]), int(table.zeroPoint[0])

    def tensor(self, name, shape, dtype, data=None, like=None, scale=None, zero=0):
        """Add a tensor; returns its number.

        Args:
            name: of it. shape: with None for an open batch. dtype: numpy's name.
            data: array of a constant, or None.
            like: number of a tensor whose scale and zero it has, or None.
            scale, zero: of an integer that stands for a float, otherwise.
        """
        tensor = self.schema.TensorT()
        tensor.name, tensor.hasRank = name.encode(), True
        tensor.shape = [1 if side is None else side for side in shape]
        if None in shape:
            tensor.shapeSignature = [-1 if side is None else side for side in shape]
        tensor.type = getattr(self.schema.TensorType, dtype.upper())
        if data is not None:
            data = np.ascontiguousarray(data, dtype).reshape(-1)
            tensor.buffer = self.assembly.buffer(data.view("uint8"))
        if like is not None:
            tensor.quantization = self.graph.tensors[like].quantization
        elif scale is not None:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name, inputs, outputs, first=False, version=1, **options):
        """Add an operator.

        Args:
            name: of the schema. inputs, outputs: numbers of tensors.
            first: whether it goes before all others that are there.
            version: of the operator. **options: of the schema; `kind` names them.
        """
        operator = self.schema.OperatorT()
        number = getattr(self.schema.BuiltinOperator, name)
        operator.opcodeIndex = self.assembly.code(number, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        kind = options.pop("kind", None)
        if kind is not None:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(self.schema, f"{kind}T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.graph.operators.insert(0 if first else len(self.graph.operators), operator)

    def finish(self, name, adapter):
        """Name the inputs and outputs, and add the graph to the model.

        Args:
            name: of the signature. adapter: `IOAdapter`.
        """
        model, graph = self.assembly.model, self.graph
        signature = self.schema.SignatureDefT()
        signature.signatureKey = name.encode()
        signature.subgraphIndex = len(model.subgraphs)
        graph.name = b"main" if not model.subgraphs else name.encode()
        graph.inputs, graph.outputs = [self.image], list(self.answers)
        signature.inputs = self._named([self.image], [adapter.image])
        signature.outputs = self._named(self.answers, adapter.outputs)
        model.subgraphs.append(graph)
        model.signatureDefs.append(signature)

    def _named(self, numbers, described):
        entries = []
        for number, tensor in zip(numbers, described, strict=True):
            self.graph.tensors[number].name = tensor.name.encode()
            entry = self.schema.TensorMapT()
            entry.name, entry.tensorIndex = tensor.name.encode(), number
            entries.append(entry)
        return entries


def _needed(graph, outputs):
    """The operators that these outputs depend on, in their order."""
    wanted, kept = set(outputs), []
    for operator in reversed(graph.operators):
        if wanted.intersection(operator.outputs):
            kept.append(operator)
            wanted.update(operator.inputs)
    return kept[::-1]
