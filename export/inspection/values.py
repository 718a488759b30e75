"""Tensors from the inside of a file, by running a copy that gives them as outputs."""

import numpy as np

from keras_vit.export.inspection.tflite import subgraph_of
from keras_vit.export.noise import quiet
from keras_vit.export.runtimes import onnxruntime


def run_with(path, anatomy, keys, images):
    """What some tensors hold while a file runs.

    The copy runs in the same runtime as the file, kernels for speed included.

    Args:
        path: `.tflite` or `.onnx` file. anatomy: its `Anatomy`.
        keys: of tensors that operators make. images: (B, H, W, C) float32.

    Returns:
        list of (B, ...) arrays, integers brought back to their real values.
    """
    run = _run_tflite if anatomy.format == "tflite" else _run_onnx
    columns = zip(*run(path, anatomy, keys, images), strict=True)
    return [
        _real(np.stack(column), anatomy.tensors[key])
        for key, column in zip(keys, columns, strict=True)
    ]


def _real(values, tensor):
    if tensor.scale is None or not tensor.is_quantized:
        return values
    return (values.astype("float64") - tensor.zero) * tensor.scale


def _run_tflite(path, anatomy, keys, images):
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=with_outputs(path, keys), num_threads=1)
        interpreter.allocate_tensors()
    given = anatomy.tensors[anatomy.inputs[0]]
    for image in images:
        interpreter.set_tensor(anatomy.inputs[0], _as_input(image, given)[None])
        interpreter.invoke()
        yield [interpreter.get_tensor(key)[...] for key in keys]


def _as_input(image, tensor):
    """One image in the dtype of the file's input."""
    if tensor.is_float or tensor.scale is None:
        return image.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    codes = np.round(image / tensor.scale) + tensor.zero
    return np.clip(codes, limits.min, limits.max).astype(tensor.dtype)


def with_outputs(path, numbers):
    """A `.tflite` file whose graph also gives some of its inner tensors.

    Args:
        path: of the file. numbers: of tensors.

    Returns:
        bytes of the changed file.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:
        content = file.read()
    number = subgraph_of(schema.Model.GetRootAs(content, 0))
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # the values lie behind the graph; bring them in
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], "uint8")
            buffer.offset = buffer.size = 0
    graph = model.subgraphs[number]
    have = [int(k) for k in graph.outputs]
    graph.outputs = have + [k for k in numbers if k not in have]
    builder = flatbuffers.Builder(len(content) + (1 << 20))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _run_onnx(path, anatomy, keys, images):
    import onnx

    model = onnx.load(path)
    given = {tensor.name for tensor in model.graph.output}
    for key in keys:
        if key not in given:
            kind = onnx.TensorProto.DataType.Value(_onnx_name(anatomy.tensors[key]))
            info = onnx.helper.make_tensor_value_info(key, kind, None)
            model.graph.output.append(info)
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name, kind = anatomy.inputs[0], anatomy.tensors[anatomy.inputs[0]].dtype
    for image in images:
        answers = session.run(list(keys), {name: image[None].astype(kind)})
        yield [answer[...] for answer in answers]


def _onnx_name(tensor):
    return {"float32": "FLOAT", "float64": "DOUBLE"}.get(
        tensor.dtype, tensor.dtype.upper()
    )
