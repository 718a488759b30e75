"""ONNX: written node by node from our layers, by tf2onnx for anything else.

Imported by its full name only; `import onnx` in this room means the library.
"""

import json
import shutil

import keras

import keras_vit
from keras_vit import files
from keras_vit.choices import check_choice
from keras_vit.export.conversion import through_tf2onnx
from keras_vit.export.formats.onnx import serialization
from keras_vit.export.formats.onnx.conv_ops import STEM_WRITERS, writable
from keras_vit.export.formats.onnx.graph import Graph
from keras_vit.export.formats.onnx.io_ops import dress
from keras_vit.export.formats.onnx.ops import ACTIVATIONS, WRITERS, write_slice
from keras_vit.export.formats.onnx.quantize import RECIPES, STATIC, requantize
from keras_vit.export.formats.tflite.metadata import check_labels
from keras_vit.export.formats.write_and_verify import write_and_prove
from keras_vit.export.io.io_spec import check_images, check_suffix, data_file
from keras_vit.export.io.reference import Reference
from keras_vit.export.io.signature import is_plain, plan, show_fields
from keras_vit.export.quantization.auto import (
    Judge,
    check_unused,
    smallest,
    smallest_dressed,
)
from keras_vit.export.quantization.recipes import calibration_images
from keras_vit.export.runtime import provenance
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.runtimes import onnxruntime
from keras_vit.models.output_activation import labels_of

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
    model,
    path,
    quantization=None,
    dynamic_batch=False,
    opset=20,
    overwrite=False,
    verbose=1,
    calibration=None,
    validation=None,
    tolerance=0.5,
    labels=None,
    **options,
):
    """Write an `.onnx` file, with LayerNormalization and Gelu as single operators.

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
    check_choice("quantization", quantization, (None, *RECIPES, "auto"))
    check_choice("opset", opset, OPSETS)
    onnxruntime()
    reference = Reference(model, dynamic_batch)
    faces = _face(reference, quantization, options)
    labels = check_labels(labels, model, reference.contract)
    _memory(path, reference, quantization)
    files.check_target(path, overwrite)
    images = calibration_images(quantization, calibration, reference, STATIC, verbose)
    given = (opset, overwrite, verbose, images, faces, labels)
    if quantization == "auto":
        judge = Judge(reference, validation, tolerance)
        return auto_onnx(reference, path, judge, *given)
    check_unused(validation, quantization)
    return export_onnx(reference, path, quantization, *given)


def _face(reference, quantization, options):
    """The one signature that an `.onnx` file has, as `plan` gives it."""
    if "signatures" in options:
        raise TypeError(
            f"signatures: an .onnx file has one, got {options['signatures']!r}. Write "
            "a file for each, or use to_tflite or to_savedmodel."
        )
    return plan(reference, None, quantization, **options)


def auto_onnx(
    reference,
    path,
    judge,
    opset,
    overwrite=False,
    verbose=1,
    images=None,
    faces=None,
    labels=None,
):
    """The file of the smallest recipe that is good enough.

    Recipes are judged by the model's own face; one with another is written last.

    Args:
        reference: `Reference`. path, opset, overwrite, verbose: as in `to_onnx`.
        judge: `Judge`. images: calibration images, or None.
        faces, labels: as in `export_onnx`.
    """

    def write(name, file, source, face=None, replace=False, verbose=0):
        own = images if name in STATIC else None
        given = (opset, replace, verbose, own, face, labels, source)
        return export_onnx(reference, file, name, *given)

    recipes = dict.fromkeys(RECIPES, "")
    if images is None:
        recipes.update(dict.fromkeys(STATIC, "needs calibration images"))
    if is_plain(faces):
        return smallest(path, judge, recipes, write, overwrite, verbose)

    def dress(name):
        return write(name, path, None, faces, overwrite, verbose)

    return smallest_dressed(path, judge, recipes, write, dress, overwrite, verbose)


def export_onnx(
    reference,
    path,
    quantization,
    opset,
    overwrite=False,
    verbose=1,
    images=None,
    faces=None,
    labels=None,
    source=None,
):
    """As `to_onnx`, for whoever has a float32 file of the same model already.

    Args:
        reference: `Reference`. path, quantization, opset, overwrite, verbose: as in
            `to_onnx`.
        images: calibration images, or None. source: that file, or None.
        faces: as `plan` gives them, or None for the model's own.
        labels: as `check_labels` gives them, or None for those of the model.
    """
    faces = plan(reference) if faces is None else faces
    (faced,) = faces.values()
    whole = faced.core.reference()

    def write(file):
        own = whole is reference and source is not None
        if own and not data_file(source).exists():
            shutil.copyfile(source, file)
        else:
            write_onnx(whole, file, opset)

    def finish(file):
        if quantization:
            _quantize(file, quantization, images, whole, verbose)
        dress(file, faced.face, labels)

    return write_and_prove(
        reference,
        path,
        write,
        calibrate=finish,
        images=images,
        quantization=quantization,
        room=1.1 if quantization is None else 3.2,
        overwrite=overwrite,
        verbose=verbose,
        beside=(data_file(path).name,),
        memory=_memory(path, reference, quantization),
        faces=faces,
    )


def _memory(path, reference, quantization):
    """What the way that this model takes needs, in sizes of its float32 weights.

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
    return MEMORY_PAIR if large and quantization is None else MEMORY


def _quantize(file, quantization, images, reference, verbose):
    """Apply a recipe; without calibration images on seeded ones, unseen."""
    if images is not None:
        say(f"calibrating on {len(images)} images", verbose)
        return requantize(file, quantization, images, verbose)
    images = check_images(reference.contract, SEEDED)
    return requantize(file, quantization, images, verbose=0)


def write_onnx(reference, file, opset):
    """Write and check the float32 file, without comparing values.

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
    """Names of the layers that have no function in `onnx_layers`."""
    operations = [node.operation for node in _calls(model)]
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


def _calls(model):
    """Keras' records of the calls inside a model, in order of execution."""
    inner = model._functional if isinstance(model, keras.Sequential) else model
    by_depth = inner._nodes_by_depth
    nodes = [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
    ]
    return [node for node in nodes if not node.is_input]


def _direct(reference, opset):
    """The model as `Graph`, from our own functions."""
    contract, graph = reference.contract, Graph(opset, reference.model.name)
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
    for node in _calls(model):
        given = [names[id(t)] for t in node.input_tensors]
        with graph.scope(node.operation.name):
            results = _write_call(graph, node.operation, given, node)
        names.update(zip(map(id, node.outputs), results, strict=True))
    return [names[id(tensor)] for tensor in model.outputs]


def _write_call(graph, operation, given, node):
    if isinstance(operation, keras.Model):
        return _write_model(graph, operation, given)
    write = write_slice if _is_slice(operation) else ALL_WRITERS[type(operation)]
    return [write(graph, operation, given, node)]


def _facts(reference):
    """What an application needs to use the file, and who made it; name -> str."""
    model, note = reference.model, reference.contract.note
    labels = labels_of(model)
    facts = {
        "keras_vit_version": keras_vit.__version__,
        "model": model.name,
        "parameters": str(model.count_params()),
        "quantization": "none",
        "versions": json.dumps(provenance.versions()),
    }
    if note is not None:
        facts["preprocessing"] = json.dumps(note.get_config())
    if labels is not None:
        facts["labels"] = json.dumps(list(labels))
    return facts
