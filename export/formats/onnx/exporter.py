"""ONNX export: our layers node by node, any other model through tf2onnx.

Imported by its full name only; `import onnx` in this room means the library.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from typing import Any, Unpack

import keras

import keras_vit
from keras_vit.choices import check_choice
from keras_vit.export.conversion import through_tf2onnx
from keras_vit.export.formats.onnx import serialization
from keras_vit.export.formats.onnx.conv_ops import STEM_WRITERS, writable
from keras_vit.export.formats.onnx.graph import OnnxGraph
from keras_vit.export.formats.onnx.io_ops import add_io_nodes
from keras_vit.export.formats.onnx.ops import ACTIVATIONS, WRITERS, write_slice
from keras_vit.export.formats.onnx.quantize import requantize
from keras_vit.export.formats.onnx.recipes import RECIPES
from keras_vit.export.formats.run_export import check_options, run_export
from keras_vit.export.formats.write_and_verify import Exported
from keras_vit.export.io.io_spec import check_images, check_suffix, data_file
from keras_vit.export.io.reference import Reference
from keras_vit.export.io.signature import SignatureOptions, show_fields
from keras_vit.export.quantization.recipe import AUTO
from keras_vit.export.runtime import provenance
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.runtimes import onnxruntime
from keras_vit.models.output_activation import labels_of
from keras_vit.private_keras import calls_in_order
from keras_vit.types import FilePath

ALL_WRITERS = {**WRITERS, **STEM_WRITERS}
# Layers with an activation of their own.
ACTIVE = (keras.layers.Dense, keras.layers.Activation, keras.layers.Conv2D)
OPSETS = tuple(range(18, 24))
# Memory while working, in sizes of the float32 model.
MEMORY, MEMORY_PAIR, MEMORY_FOREIGN = 5.5, 2.0, 45.0
# Images made up to find channels that stand out on any image.
SEEDED = 8


@show_fields
def to_onnx(
    model: keras.Model,
    path: FilePath,
    quantization: str | None = None,
    dynamic_batch: bool = False,
    opset: int = 20,
    overwrite: bool = False,
    verbose: int = 1,
    calibration: Any = None,
    validation: Any = None,
    tolerance: float = 0.5,
    labels: Sequence[str] | None = None,
    **options: Unpack[SignatureOptions],
) -> Exported:
    """Export to `.onnx`, with LayerNormalization and Gelu as single operators.

    It is run in onnxruntime and compared with the model before it gets its name: it
    must pass the checker and stay within 1e-4 of the logits, in float16 keep 40 dB of
    signal to noise, in 8 bits 10. Notes on the model lie in its `metadata_props`.

    Args:
        model: Keras model that takes images; one with layers of other packages
            goes through tf2onnx, at opset 18. path: file to write; above 2 GiB with
            a second one, `.onnx.data`, beside it.
        quantization: None for float32; "float16": weights in 16 bits;
            "dynamic_int8": dense layers in 8-bit integers, inputs quantized on the
            fly, weights of convolutions in 8 bits; "static_int8": dense and
            convolution layers in integers with ranges from `calibration`; "auto": the
            smallest that loses at most `tolerance` on `validation`.
        dynamic_batch: whether any number of images; that dimension is "batch".
        opset: 18 to 23. Before 20, Gelu is spelt out.
        overwrite: whether an existing file may be replaced. verbose: 0 for silence.
        calibration: training images for "static_int8", as in `to_tflite`.
        validation, tolerance: for "auto", as in `to_tflite`.
        labels: class names; None for `model.labels`.
        **options: fields of `keras_vit.export.Signature`, such as top=5.

    Returns:
        `keras_vit.export.Exported`; after "auto", `tried` is the table.

    Raises:
        ExportMismatch: when it does not answer as the model does.
        UnsupportedLayer: for a layer that ONNX cannot express; it is named.
        FileExistsError, TypeError, ValueError: for what cannot be exported.
    """
    check_suffix(path, ".onnx")
    check_choice("quantization", quantization, (None, *RECIPES, AUTO))
    onnxruntime()
    _refuse_signatures(options)
    form, reference = ONNX(opset), Reference(model, dynamic_batch)
    file = {"path": path, "labels": labels, "overwrite": overwrite, "verbose": verbose}
    images = {"calibration": calibration, "judged": (validation, tolerance)}
    checked = check_options(
        form, reference, quantization, signature=options, **images, **file
    )
    return run_export(form, reference, quantization, checked)


def _refuse_signatures(options):
    if "signatures" in options:
        raise TypeError(
            f"signatures: an .onnx file has one, got {options['signatures']!r}. Write "
            "a file for each, or use to_tflite or to_savedmodel."
        )


@dataclasses.dataclass(frozen=True)
class ONNX:
    """`.onnx` files, as `run_export` writes them; see `Format`.

    Args:
        opset: as in `to_onnx`.
    """

    opset: int = 20

    recipes = RECIPES
    preparations = (None, "embed")

    def __post_init__(self):
        check_choice("opset", self.opset, OPSETS)

    def check(self, reference, recipe, path):
        """Refuse a model above 2 GiB that tf2onnx would have to write."""
        _memory(path, reference, recipe)

    def hindrance(self, reference, recipe):
        """Return "": every recipe takes any batch size."""
        return ""

    def needs(self, reference, recipe, options):
        """Disk and memory of the file and the float32 file that it is rounded from."""
        memory = _memory(options.path, reference, recipe)
        return 1.1 if recipe is None else 3.2, memory

    def convert(self, reference, file, options):
        """Convert to float32, or copy a float32 file that exists in one part."""
        source, whole = options.source, _whole(options)
        if source is not None and whole is reference and not data_file(source).exists():
            shutil.copyfile(source, file)
        else:
            write_onnx(whole, file, self.opset)

    def quantize(self, reference, file, recipe, options):
        """Quantize; where images are not given, with images of seeded random values."""
        images, verbose = options.calibration, options.verbose
        if images is None:
            images, verbose = check_images(_whole(options).contract, SEEDED), 0
        say(f"calibrating on {len(images)} images", verbose)
        requantize(file, recipe, images, verbose)

    def finish(self, reference, file, recipe, options):
        """Add input preprocessing, output nodes and labels to the graph."""
        (adapted,) = options.adapted.values()
        add_io_nodes(file, adapted.adapter, options.labels)
        return ()

    def beside(self, path):
        """Name of the file of weights above 2 GiB."""
        return (data_file(path).name,)


def _whole(options):
    """The `Reference` that one signature runs."""
    (adapted,) = options.adapted.values()
    return adapted.view.reference()


def _memory(path, reference, recipe):
    """Memory of the conversion, in sizes of the float32 weights.

    Raises:
        ValueError: for a model above 2 GiB that needs tf2onnx.
    """
    foreign = unwritable(reference.model)
    large = reference.parameter_bytes > serialization.LIMIT
    if foreign and large:
        raise ValueError(
            f"{path}: with layers of other packages ({', '.join(foreign[:3])}) an "
            f".onnx file holds at most 2 GiB, got a model of "
            f"{reference.parameter_bytes / 2**30:.1f} GiB. Use to_savedmodel, or "
            "layers of keras_vit."
        )
    if foreign:
        return MEMORY_FOREIGN
    # Arrays of a pair go to the disk one by one.
    return MEMORY_PAIR if large and recipe is None else MEMORY


def write_onnx(reference, file, opset):
    """Write and check the float32 file, without comparing outputs.

    Args:
        reference: `Reference`. file: where. opset: as in `to_onnx`.

    Raises:
        UnsupportedLayer: naming the layer.
    """
    if unwritable(reference.model):
        graph = serialization.graph_of(through_tf2onnx.convert(reference))
    else:
        graph = _direct(reference, opset)
    graph.facts.update(_facts(reference))
    serialization.save(graph, file)
    del graph
    serialization.check(file)


def unwritable(model):
    """Names of the layers without an ONNX function in `onnx.ops`."""
    operations = [node.operation for node in calls_in_order(model)]
    return [operation.name for operation in operations if not _known(operation)]


def _known(operation):
    if isinstance(operation, keras.Model):
        return not unwritable(operation)
    if isinstance(operation, ACTIVE) and operation.activation not in ACTIVATIONS:
        return False
    known = type(operation) in ALL_WRITERS and writable(operation)
    return known or _is_slice(operation)


def _is_slice(operation):
    return type(operation).__name__ == "GetItem"


def _direct(reference, opset):
    """Build the model's `OnnxGraph` by our own functions."""
    contract, graph = reference.contract, OnnxGraph(opset, reference.model.name)
    graph.reserve([contract.image.name])
    results = _write_model(graph, reference.model, [contract.image.name])
    graph.name_outputs(results, [tensor.name for tensor in contract.outputs])
    graph.inputs = [_info(contract.image)]
    graph.outputs = [_info(tensor) for tensor in contract.outputs]
    return graph


def _info(tensor):
    from onnx import TensorProto, helper

    shape = ["batch" if side is None else side for side in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, shape)


def _write_model(graph, model, inputs):
    """Write every call of a functional model; gives the names of its outputs."""
    names = {id(t): name for t, name in zip(model.inputs, inputs, strict=True)}
    for node in calls_in_order(model):
        given = [names[id(t)] for t in node.input_tensors]
        with graph.scope(node.operation.name):
            results = _write_call(graph, node.operation, given, node)
        names.update(zip(map(id, node.outputs), results, strict=True))
    return [names[id(tensor)] for tensor in model.outputs]


def _write_call(graph, operation, inputs, node):
    if isinstance(operation, keras.Model):
        return _write_model(graph, operation, inputs)
    write = write_slice if _is_slice(operation) else ALL_WRITERS[type(operation)]
    return [write(graph, operation, inputs, node)]


def _facts(reference):
    """Metadata of the file: preprocessing, labels, versions; name -> str."""
    model, preprocessing = reference.model, reference.contract.note
    labels = labels_of(model)
    facts = {
        "keras_vit_version": keras_vit.__version__,
        "model": model.name,
        "parameters": str(model.count_params()),
        "quantization": "none",
        "versions": json.dumps(provenance.versions()),
    }
    if preprocessing is not None:
        facts["preprocessing"] = json.dumps(preprocessing.get_config())
    if labels is not None:
        facts["labels"] = json.dumps(list(labels))
    return facts
