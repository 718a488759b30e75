"""Reading and writing of `.onnx` files, with external data above 2 GiB."""

import pathlib

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.formats.onnx.graph import OnnxGraph
from keras_vit.export.io.io_spec import data_file

# A message of protocol buffers, which an .onnx file is, ends at 2 GiB; a part is left
# for nodes and names.
LIMIT = int(0.99 * 2**31)
# Arrays of more bytes move to the second file, each to the start of a page, from where
# runtimes map it into memory.
SMALL, PAGE = 1024, 4096


def save(graph, file):
    """Write a graph; above 2 GiB its large arrays go to `data_file(file)`.

    Args:
        graph: `OnnxGraph`. file: where.
    """
    from onnx import helper

    file, sets = pathlib.Path(file), {"": graph.opset, **graph.domains}
    sets = [helper.make_opsetid(*pair) for pair in sets.items()]
    body = helper.make_graph(graph.nodes, graph.name, graph.inputs, graph.outputs)
    version = helper.find_min_ir_version_for(sets)
    model = helper.make_model(body, opset_imports=sets, ir_version=version)
    helper.set_model_props(model, graph.facts)
    model.producer_name = "keras_vit"
    model.producer_version = graph.facts.get("keras_vit_version", "")
    # Only now the arrays: `make_model` copies what it is given.
    if size(graph) > LIMIT:
        _write_data(model.graph, graph.constants, data_file(file))
    else:
        for name, values in graph.constants.items():
            _describe(model.graph, name, values).raw_data = values.tobytes()
    with open(file, "wb") as stream:
        stream.write(model.SerializeToString())


def size(graph):
    """Bytes of all constants."""
    return sum(values.nbytes for values in graph.constants.values())


def _describe(body, name, values):
    """A constant without its values, as `onnx.TensorProto`."""
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    return body.initializer.add(name=name, data_type=kind, dims=values.shape)


def _write_data(body, constants, file):
    """Large arrays one after the other into a file, small ones into the graph."""
    from onnx import TensorProto

    with open(file, "wb") as stream:
        for name, values in constants.items():
            tensor = _describe(body, name, values)
            if values.nbytes <= SMALL:
                tensor.raw_data = values.tobytes()
                continue
            stream.write(b"\0" * (-stream.tell() % PAGE))
            place = {"location": file.name, "offset": stream.tell()}
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in {**place, "length": values.nbytes}.items():
                tensor.external_data.add(key=key, value=str(value))
            np.ascontiguousarray(values).tofile(stream)


def read(file):
    """The graph of a file that `save` wrote.

    Args:
        file: where it lies, and its data beside it.

    Returns:
        `OnnxGraph`.
    """
    import onnx

    return graph_of(onnx.load(file))


def outline(file):
    """Read the `onnx.ModelProto` of a file without its external data."""
    import onnx

    return onnx.load(file, load_external_data=False)


def completed(model, file):
    """Build the graph of an `outline`, with the external data beside its file.

    Args:
        model: `onnx.ModelProto`, completed in place. file: that it is from.

    Returns:
        `OnnxGraph`.
    """
    from onnx import external_data_helper as beside

    beside.load_external_data_for_model(model, str(pathlib.Path(file).parent))
    return graph_of(model)


def graph_of(model):
    """Build the graph of an `onnx.ModelProto` with all data inside.

    Returns:
        `OnnxGraph`.
    """
    from onnx import numpy_helper

    sets = {entry.domain: entry.version for entry in model.opset_import}
    graph = OnnxGraph(sets.pop("", None) or sets.pop("ai.onnx"), model.graph.name)
    graph.domains = sets
    graph.nodes = list(model.graph.node)
    graph.inputs, graph.outputs = list(model.graph.input), list(model.graph.output)
    graph.facts = {entry.key: entry.value for entry in model.metadata_props}
    for tensor in model.graph.initializer:
        graph.constants[tensor.name] = numpy_helper.to_array(tensor)
    graph.reserve(graph.constants)
    graph.reserve(tensor.name for tensor in graph.inputs)
    for node in graph.nodes:
        graph.reserve((node.name, *node.output))
    return graph


def check(file):
    """Run ONNX's checker with shape inference, and check that every input is defined.

    Raises:
        UnsupportedLayer: when something dangles.
    """
    import onnx

    _check_wiring(onnx.load(file, load_external_data=False).graph)
    onnx.checker.check_model(str(file), full_check=True)


def _check_wiring(graph):
    """Check that every tensor that a node reads is an input, constant or output."""
    inputs = [tensor.name for tensor in graph.input]
    known = {*inputs, *(tensor.name for tensor in graph.initializer), ""}
    for node in graph.node:
        missing = [name for name in node.input if name not in known]
        if missing:
            raise UnsupportedLayer(
                f"onnx: every node input must be the output of a node, got {missing} "
                f"at {node.name!r}. Replace the layer that it belongs to."
            )
        known.update(node.output)
    if len(inputs) != 1:
        raise UnsupportedLayer(
            f"onnx: the image must be the only input, got {inputs}. Replace the layer "
            "that the others belong to."
        )
