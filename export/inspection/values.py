"""Inner tensors of a file, by running a copy that has them as outputs."""

import os

import numpy as np

from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.console import quiet
from keras_vit.export.runtime.runtimes import open_session


def run_with(path, anatomy, keys, images):
    """Run a file and return some of its inner tensors.

    The copy runs in the same runtime as the file, kernels for speed included.

    Args:
        path: `.tflite` or `.onnx` file. anatomy: its `Anatomy`.
        keys: of tensors that operators make. images: (B, H, W, C), as the
            file takes them or the floats that these stand for.

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
        content = with_outputs(path, keys, anatomy.graph)
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    given = anatomy.tensors[anatomy.inputs[0]]
    count = given.shape[0] or 1  # of a fixed batch, all are the same image
    for image in images:
        batch = np.repeat(_as_input(image, given)[None], count, axis=0)
        interpreter.set_tensor(anatomy.inputs[0], batch)
        interpreter.invoke()
        values = [interpreter.get_tensor(key) for key in keys]
        yield [v[: len(v) // count].copy() if count > 1 else v for v in values]


def _as_input(image, tensor):
    """Convert one image to the dtype of the file's input; pixels stay as they are."""
    if image.dtype == tensor.dtype:
        return image
    if tensor.is_float or tensor.scale is None:
        return image.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    codes = np.round(image / tensor.scale) + tensor.zero
    return np.clip(codes, limits.min, limits.max).astype(tensor.dtype)


def with_outputs(path, numbers, graph=0):
    """Copy a `.tflite` file of one graph with some inner tensors as outputs.

    Args:
        path: of the file. numbers: of tensors. graph: its number.

    Returns:
        bytes of the changed file.
    """
    import flatbuffers

    model = tflite_file.load(path)
    signatures = model.signatureDefs or []
    model.signatureDefs = [s for s in signatures if s.subgraphIndex == graph]
    for signature in model.signatureDefs:
        signature.subgraphIndex = 0
    only = model.subgraphs[graph]
    model.subgraphs = [only]
    have = [int(k) for k in only.outputs]
    only.outputs = have + [k for k in numbers if k not in have]
    builder = flatbuffers.Builder(os.path.getsize(path) + (1 << 20))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _run_onnx(path, anatomy, keys, images):
    import onnx

    model = onnx.load(path)
    given = {tensor.name for tensor in model.graph.output}
    for key in keys:
        if key not in given:
            dtype = onnx.TensorProto.DataType.Value(_onnx_name(anatomy.tensors[key]))
            info = onnx.helper.make_tensor_value_info(key, dtype, None)
            model.graph.output.append(info)
    session = open_session(model.SerializeToString())
    name, dtype = anatomy.inputs[0], anatomy.tensors[anatomy.inputs[0]].dtype
    for image in images:
        answers = session.run(list(keys), {name: image[None].astype(dtype)})
        yield [answer[...] for answer in answers]


def _onnx_name(tensor):
    return {"float32": "FLOAT", "float64": "DOUBLE"}.get(
        tensor.dtype, tensor.dtype.upper()
    )
