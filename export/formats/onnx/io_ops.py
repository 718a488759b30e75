"""Input and output nodes of an `.onnx` file: pixel preprocessing, softmax, top-k."""

import json

import numpy as np

from keras_vit.export.formats.onnx import serialization
from keras_vit.export.io.io_adapter import CLASSES
from keras_vit.ranges import pixel_statistics


def add_io_nodes(file, adapter, labels=None):
    """Add an adapter's input and output nodes to a graph, and labels to its metadata.

    Args:
        file: `.onnx` file of the model alone; large data may lie in another beside it.
        adapter: `IOAdapter`. labels: class names, or None.
    """
    import onnx

    model = onnx.load(file, load_external_data=False)
    if adapter.embedded:
        _pixels(model.graph, adapter)
    if adapter.softmax or adapter.top is not None:
        _scores(model.graph, adapter)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if labels is not None:
        facts["labels"] = json.dumps(labels)
    onnx.helper.set_model_props(model, facts)
    with open(file, "wb") as stream:
        stream.write(model.SerializeToString())
    serialization.check(file)


def _pixels(graph, adapter):
    """Add the preprocessing of uint8 pixels: cast, crop, resize, normalise."""
    from onnx import TensorProto, helper

    image, prepared = adapter.image, f"{adapter.image.name}/prepared"
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == image.name:
                node.input[index] = prepared
    steps = [("Cast", [], {"to": TensorProto.FLOAT})]
    if adapter.resizes:
        steps += _geometry(graph, adapter)
    mean, std = pixel_statistics(adapter.mode, image.shape[-1])
    steps.append(("Sub", [_constant(graph, "mean", mean)], {}))
    steps.append(("Div", [_constant(graph, "std", std)], {}))
    names = [image.name, *(f"{image.name}/{name}" for name, _, _ in steps[:-1])]
    nodes = [
        helper.make_node(name, [before, *constants], [after], name=after, **attributes)
        for before, after, (name, constants, attributes) in zip(
            names, [*names[1:], prepared], steps, strict=True
        )
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    graph.input[0].CopyFrom(_info(image, TensorProto.UINT8))


def _geometry(graph, adapter):
    """Add the centre crop and the resize to the model's image size."""
    top, left, height, width = adapter.crop()
    size = adapter.view.image.shape[1:3]
    rows = {
        "starts": [top, left],
        "ends": [top + height, left + width],
        "axes": [1, 2],
        "size": size,
    }
    rows = {name: _constant(graph, name, np.int64(row)) for name, row in rows.items()}
    steps = [("Slice", [rows["starts"], rows["ends"], rows["axes"]], {})]
    if (height, width) != size:
        options = {"mode": "linear", "axes": [1, 2], "antialias": 0}
        options["coordinate_transformation_mode"] = "half_pixel"
        steps.append(("Resize", ["", "", rows["size"]], options))
    return steps


def _scores(graph, adapter):
    """Add the outputs: logits, softmax, the top classes."""
    from onnx import TensorProto, helper

    before = graph.output[0].name
    inner = f"{before}/all"
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                if name == before:
                    field[index] = inner
    nodes, scores = [], adapter.outputs[-1].name
    if adapter.softmax:
        result = scores if adapter.top is None else f"{scores}/all"
        nodes.append(helper.make_node("Softmax", [inner], [result], axis=-1))
        inner = result
    if adapter.top is not None:
        count = _constant(graph, "top", np.int64([adapter.top]))
        best = f"{CLASSES}/long"
        nodes.append(helper.make_node("TopK", [inner, count], [scores, best], axis=-1))
        nodes.append(helper.make_node("Cast", [best], [CLASSES], to=TensorProto.INT32))
    for node in nodes:
        node.name = node.output[0]
    graph.node.extend(nodes)
    del graph.output[:]
    kinds = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
    graph.output.extend(
        _info(tensor, kinds[tensor.dtype]) for tensor in adapter.outputs
    )


def _constant(graph, name, values):
    from onnx import numpy_helper

    name = f"adapter/{name}"
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _info(tensor, element_type):
    from onnx import helper

    shape = ["batch" if side is None else side for side in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, element_type, shape)
