"""ONNX: written node by node from our layers, by tf2onnx for anything else.

Imported by its full name only; `import onnx` in this room means the library.
"""

import json

import keras

import keras_vit
from keras_vit.errors import UnsupportedLayer
from keras_vit.export import onnx_foreign
from keras_vit.export.contract import check_choice, check_suffix
from keras_vit.export.onnx_graph import Graph
from keras_vit.export.onnx_layers import ACTIVATIONS, WRITERS, write_slice
from keras_vit.export.onnx_stem import STEM_WRITERS
from keras_vit.export.proof import write_and_prove
from keras_vit.export.reference import Reference
from keras_vit.export.runtimes import onnxruntime

ALL_WRITERS = {**WRITERS, **STEM_WRITERS}
OPSETS = range(18, 24)
# Messages of protocol buffers, which an .onnx file is, end here.
LIMIT = 2**31


def to_onnx(
    model,
    path,
    quantization=None,
    dynamic_batch=False,
    opset=20,
    overwrite=False,
    verbose=1,
):
    """Write an `.onnx` file, with LayerNormalization and Gelu as single operators.

    It is run in onnxruntime and compared with the model before it gets its name:
    it must stay within 1e-4 of the logits, pass the checker, and have no input
    but the image. The version of this package, the preprocessing and the labels
    travel in its `metadata_props`.

    Args:
        model: functional or Sequential Keras model that takes images. Models
            with layers that are neither ours nor simple go through tf2onnx,
            which needs much memory and writes opset 18.
        path: file to write, ending in `.onnx`.
        quantization: None for float32, the only one so far.
        dynamic_batch: whether it takes any number of images; the dimension is
            then called "batch".
        opset: 18 to 23. Before 20, Gelu is spelt out.
        overwrite: whether an existing file may be replaced.
        verbose: 0 for silence.

    Returns:
        `keras_vit.export.Exported`.

    Raises:
        FileExistsError: when the file exists and overwrite is False.
        ExportMismatch: when it does not answer as the model does.
        UnsupportedLayer: for a layer that ONNX cannot express; it is named.
        TypeError, ValueError: for a model or option that cannot be exported.
    """
    check_suffix(path, ".onnx")
    check_choice("quantization", quantization, (None,))
    check_choice("opset", opset, tuple(OPSETS))
    onnxruntime()
    reference = Reference(model, dynamic_batch)
    _check_size(path, reference)
    return write_and_prove(
        reference,
        path,
        lambda file: write_onnx(reference, file, opset),
        overwrite=overwrite,
        verbose=verbose,
    )


def _check_size(path, reference):
    if reference.parameter_bytes > 0.99 * LIMIT:
        raise ValueError(
            f"{path}: an .onnx file holds at most 2 GiB, got a model of "
            f"{reference.parameter_bytes / 2**30:.1f} GiB. Use to_savedmodel, or a "
            "smaller variant."
        )


def write_onnx(reference, file, opset):
    """Write and check the file, without comparing values.

    Args:
        reference: `Reference`. file: where. opset: as in `to_onnx`.

    Raises:
        UnsupportedLayer: naming the layer.
    """
    import onnx

    if unwritable(reference.model):
        made = onnx_foreign.convert(reference)
    else:
        made = _direct(reference, opset)
    _describe(made, reference.model)
    _check_wiring(made.graph)
    with open(file, "wb") as stream:
        stream.write(made.SerializeToString())
    onnx.checker.check_model(str(file), full_check=True)


def unwritable(model):
    """Names of the layers that have no function in `onnx_layers`."""
    operations = [node.operation for node in _calls(model)]
    return [operation.name for operation in operations if not _known(operation)]


def _known(operation):
    if isinstance(operation, keras.Model):
        return not unwritable(operation)
    if isinstance(operation, (keras.layers.Dense, keras.layers.Activation)):
        return operation.activation in ACTIVATIONS
    return type(operation) in ALL_WRITERS or _is_slice(operation)


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
    """The model as `onnx.ModelProto`, from our own functions."""
    from onnx import helper

    contract, graph = reference.contract, Graph(opset)
    results = _write_model(graph, reference.model, [contract.image.name])
    graph.name_outputs(results, [tensor.name for tensor in contract.outputs])
    made = helper.make_graph(
        graph.nodes,
        reference.model.name,
        [_info(contract.image)],
        [_info(tensor) for tensor in contract.outputs],
        initializer=list(graph.constants.values()),
    )
    operators = [helper.make_opsetid("", opset)]
    version_ = helper.find_min_ir_version_for(operators)
    return helper.make_model(made, opset_imports=operators, ir_version=version_)


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


def _describe(made, model):
    """Producer, and what an application needs to use the file."""
    from onnx import helper

    note, labels = getattr(model, "preprocessing", None), getattr(model, "labels", None)
    facts = {"keras_vit_version": keras_vit.__version__}
    if note is not None:
        facts["preprocessing"] = json.dumps(note.get_config())
    if labels is not None:
        facts["labels"] = json.dumps(list(labels))
    helper.set_model_props(made, facts)
    made.producer_name, made.producer_version = "keras_vit", keras_vit.__version__


def _check_wiring(graph):
    """Every tensor that a node reads must come from somewhere."""
    inputs = [tensor.name for tensor in graph.input]
    known = {*inputs, *(tensor.name for tensor in graph.initializer), ""}
    for node in graph.node:
        missing = [name for name in node.input if name not in known]
        if missing:
            raise UnsupportedLayer(
                f"onnx: every input of a node must be made by another, got {missing} "
                f"at {node.name!r}. Replace the layer that it belongs to."
            )
        known.update(node.output)
    if len(inputs) != 1:
        raise UnsupportedLayer(
            f"onnx: the image must be the only input, got {inputs}. Replace the layer "
            "that the others belong to."
        )
