"""Runtimes of exported files: load a file and call it like a function."""

import collections
import copy
import functools
import pathlib

import numpy as np

from keras_vit.errors import ExportMismatch
from keras_vit.export.io.io_spec import SERVE, TensorSpec
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.console import quiet


class Runtime:
    """A loaded file; called in the same way for every format.

    Args:
        path: the file.
        threads: processor threads it may use.
        signature: which one to call; None for the file's first.

    Attributes:
        inputs, outputs: lists of `TensorSpec`.
        signature: name of the one that is called, or None where there are none.
        signatures: names of all ways to call the file.
    """

    format, signature = "", None
    inputs = outputs = signatures = ()

    def __init__(self, path, threads=1, signature=None):
        self.path = pathlib.Path(path)
        self._asked = signature
        self._load(threads)

    def _choose(self, names):
        """Choose the signature to call."""
        self.signatures = tuple(names)
        first = SERVE if SERVE in names else next(iter(names), None)
        chosen = first if self._asked is None else self._asked
        if chosen not in names:
            raise ExportMismatch(
                f"{self.path}: needs a signature {chosen or SERVE!r}, got "
                f"{list(names)}. Export it with to_{self.format}."
            )
        self.signature = chosen
        return chosen

    def __call__(self, images):
        """Compute outputs for (B, H, W, C) float32: a list of numpy arrays.

        A file with a fixed batch is asked piece by piece. One with an integer image
        gets codes for floats, and floats come back for the codes it gives.
        """
        size = self.inputs[0].shape[0] or len(images)
        parts = []
        for start in range(0, len(images), size):
            piece = images[start : start + size]
            missing = size - len(piece)
            sides = [(0, missing)] + [(0, 0)] * (piece.ndim - 1)
            padded = np.pad(piece, sides, mode="edge")
            answers = self._run(np.ascontiguousarray(padded))
            parts.append([answer[: len(piece)] for answer in answers])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _run(self, images):
        """Run one call, with dequantized outputs."""
        image = self.inputs[0]
        answers = self.execute(**{image.name: image.to_codes(images)})
        return [tensor.to_values(answers[tensor.name]) for tensor in self.outputs]

    def executed_by(self, execute):
        """Copy the runtime with its calls run elsewhere.

        Args:
            execute: function of the input by its name; gives a dict of arrays.
        """
        twin = copy.copy(self)
        twin.execute = execute
        return twin

    def order(self, names):
        """Set the order of the outputs by name."""
        self.outputs = sorted(self.outputs, key=lambda tensor: names.index(tensor.name))

    @functools.cached_property
    def operators(self):
        """Number of each operator in the file."""
        return dict(sorted(self._operators().items()))

    @property
    def arena_bytes(self):
        """Arena size in tflite-micro by the file's metadata, or None."""
        return None

    @property
    def precision(self):
        """Precision of the weights: "float32", "float16", "int8" or "int4"."""
        return "float32"


class SavedModelRuntime(Runtime):
    """A TensorFlow SavedModel, called through its signature `serving_default`."""

    format = "savedmodel"

    def _load(self, threads):
        import tensorflow as tf

        with quiet():
            self._module = tf.saved_model.load(str(self.path))
        self._serve = self._module.signatures[self._choose([*self._module.signatures])]
        given = self._serve.structured_input_signature[1]
        self.inputs = [_spec(name, spec) for name, spec in given.items()]
        returned = self._serve.structured_outputs
        self.outputs = [_spec(name, spec) for name, spec in sorted(returned.items())]

    def execute(self, **inputs):
        """Call the signature once: arrays in, arrays out, by name."""
        import tensorflow as tf

        given = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: answer.numpy() for name, answer in self._serve(**given).items()}

    def _operators(self):
        graph = self._serve.graph.as_graph_def()
        nodes = [
            node for function in graph.library.function for node in function.node_def
        ]
        return collections.Counter(node.op for node in (*graph.node, *nodes))


def _spec(name, spec):
    return TensorSpec(name, spec.dtype.name, tuple(spec.shape))


class LiteRTRuntime(Runtime):
    """A `.tflite` file in the LiteRT interpreter, on the CPU as on a phone."""

    format, kernels = "tflite", "AUTO"

    def _load(self, threads):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with quiet():
            self._interpreter = Interpreter(
                model_path=str(self.path),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType[self.kernels],
            )
            self._interpreter.allocate_tensors()
        name = self._choose(self.audit.signatures)
        self._runner = self._interpreter.get_signature_runner(name)
        self.inputs = _details(self._runner.get_input_details())
        self.outputs = _details(self._runner.get_output_details())

    def execute(self, **inputs):
        """Call the signature once: arrays in, arrays out, by name."""
        return self._runner(**inputs)

    @property
    def arena_bytes(self):
        """Arena size in tflite-micro by the file's metadata, or None."""
        noted = tflite_file.noted(self.path, tflite_file.ARENA)
        return None if noted is None else int(noted)

    @functools.cached_property
    def audit(self):
        """`Audit` of the file."""
        return tflite_file.audit(self.path)

    def _operators(self):
        return self.audit.operators

    @property
    def precision(self):
        return self.audit.precision


class PlainRuntime(LiteRTRuntime):
    """A `.tflite` file in LiteRT's reference kernels, which define the right result.

    The faster ones round the sums of dense layers and convolutions elsewhere.
    """

    kernels = "BUILTIN_REF"


def _details(details):
    """LiteRT's tensor descriptions; open sizes are -1 there and None here."""
    tensors = []
    for name, detail in sorted(details.items()):
        shape = detail["shape_signature"] if len(detail["shape_signature"]) else ()
        shape = tuple(None if side < 0 else int(side) for side in shape)
        dtype, (scale, zero) = np.dtype(detail["dtype"]), detail["quantization"]
        scale = float(scale) if scale and dtype.kind in "iu" else None
        tensors.append(TensorSpec(name, dtype.name, shape, scale, int(zero)))
    return tensors


class OnnxRuntime(Runtime):
    """An `.onnx` file in onnxruntime, on the CPU."""

    format = "onnx"

    def _load(self, threads):
        self._session = open_session(self.path, threads)
        self.inputs = [_argument(a) for a in self._session.get_inputs()]
        found = sorted(self._session.get_outputs(), key=lambda a: a.name)
        self.outputs = [_argument(argument) for argument in found]

    def execute(self, **inputs):
        """Call the file once: arrays in, arrays out, by name."""
        names = [tensor.name for tensor in self.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def _operators(self):
        return self._contents[0]

    @functools.cached_property
    def _contents(self):
        """Number of each operator, and the dtypes of constants."""
        import onnx

        graph = onnx.load(self.path, load_external_data=False).graph
        arrays = [tensor for tensor in graph.initializer if len(tensor.dims)]
        names = onnx.TensorProto.DataType.Name
        return (
            collections.Counter(node.op_type for node in graph.node),
            {names(tensor.data_type) for tensor in arrays},
        )

    @property
    def precision(self):
        known = {"INT8": "int8", "UINT8": "int8", "FLOAT16": "float16"}
        return next((known[k] for k in known if k in self._contents[1]), "float32")


def _argument(argument):
    """onnxruntime's tensor description; open sizes are names there."""
    shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
    dtype = argument.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(argument.name, {"float": "float32"}.get(dtype, dtype), shape)


def open_session(model, threads=1):
    """Open an onnxruntime session on the CPU that logs errors only.

    Args:
        model: path of a file, or its bytes. threads: processor threads.
    """
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxruntime():
    """Import the onnxruntime module.

    Raises:
        ImportError: with the line that installs it.
    """
    try:
        import onnxruntime
    except ImportError as err:
        raise ImportError(
            "onnxruntime: needed to check ONNX files. Install it with "
            "pip install onnxruntime."
        ) from err
    return onnxruntime


def open_file(path, threads=1, signature=None):
    """Load an exported file, whatever its format.

    Args:
        path: SavedModel folder, `.tflite` or `.onnx` file.
        threads: processor threads it may use.
        signature: which one to call; None for the file's first.

    Returns:
        `Runtime`.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: for a format that is not known, a damaged file, or a signature of
            an `.onnx` file, which has none to choose.
        ExportMismatch: for a file without the signature that exports have.
    """
    runtime = _recognise(pathlib.Path(path))
    if signature not in (None, SERVE) and runtime is OnnxRuntime:
        raise ValueError(
            f"signature: must be None for {path}, since .onnx files have one, got "
            f"{signature!r}. Leave it out."
        )
    try:
        return runtime(path, threads, signature)
    except (ImportError, ExportMismatch):
        raise
    except Exception as err:
        raise ValueError(
            f"{path}: must be a readable {runtime.format} file, got "
            f"{type(err).__name__}: {str(err).strip()[:300]} Export it again."
        ) from err


def kind_of(path):
    """Format of an exported file or folder: "savedmodel", "tflite" or "onnx".

    Args:
        path: of it.

    Raises:
        FileNotFoundError, ValueError: as `open_file`.
    """
    return _recognise(pathlib.Path(path)).format


def _recognise(path):
    """Runtime class of a path."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder. Export first, with to_tflite for example."
        )
    if (path / "saved_model.pb").is_file():
        return SavedModelRuntime
    kinds = {".tflite": LiteRTRuntime, ".onnx": OnnxRuntime}
    if path.is_dir() or path.suffix not in kinds:
        raise ValueError(
            f"{path}: must be a SavedModel folder, a .tflite or an .onnx file. "
            "Check the path."
        )
    return kinds[path.suffix]
