"""Input and output operators of a `.tflite` graph: pixels, softmax, top-k."""

import numpy as np

from keras_vit.export.io.io_adapter import CLASSES
from keras_vit.ranges import pixel_statistics


def add_io_operators(piece, adapter):
    """Add an adapter's input and output operators to a graph.

    Args:
        piece: `keras_vit.export.formats.tflite.assembly.GraphPiece` of the model alone.
        adapter: `IOAdapter`.
    """
    if adapter.embedded:
        _pixels(piece, adapter)
    if adapter.embedded or adapter.softmax or adapter.top is not None:
        piece.answers = [_floats(piece, number) for number in piece.answers]
    if adapter.softmax:
        _softmax(piece, adapter)
    if adapter.embedded:
        piece.answers = [_unsigned(piece, number) for number in piece.answers]
    if adapter.top is not None:
        _best(piece, adapter)


def _pixels(piece, adapter):
    """Add the preprocessing of uint8 pixels: cast, crop, resize, normalise.

    A graph in integers throughout takes pixels already; only its geometry is added.
    """
    whole = piece.kind(piece.image) == "uint8"
    steps = (
        [] if whole else [("CAST", adapter.image.shape, [], {"kind": "CastOptions"})]
    )
    steps += _geometry(piece, adapter) if adapter.resizes else []
    steps += [] if whole else _normalisation(piece, adapter)
    if piece.kind(piece.image) == "int16":
        steps.append(("QUANTIZE", None, [], {"kind": "QuantizeOptions", "version": 2}))
    if not steps:
        return
    dtype, like = ("uint8", piece.image) if whole else ("float32", None)
    image = piece.tensor(adapter.image.name, adapter.image.shape, "uint8", like=like)
    ends = [piece.tensor(s[0].lower(), s[1], dtype, like=like) for s in steps[:-1]]
    pairs = zip([image, *ends], [*ends, piece.image], steps, strict=True)
    for before, after, (name, _, constants, options) in reversed(list(pairs)):
        piece.operator(name, [before, *constants], [after], first=True, **options)
    piece.image = image


def _normalisation(piece, adapter):
    """Steps that normalise pixels to the model's range."""
    mean, std = pixel_statistics(adapter.mode, adapter.image.shape[-1])
    shape, steps = adapter.view.image.shape, []
    if not (std == 1).all():
        factor = piece.tensor("scale", std.shape, "float32", 1 / std)
        steps.append(("MUL", shape, [factor], {"kind": "MulOptions"}))
    if mean.any():
        offset = piece.tensor("offset", mean.shape, "float32", -mean / std)
        steps.append(("ADD", shape, [offset], {"kind": "AddOptions"}))
    return steps


def _geometry(piece, adapter):
    """Steps of the centre crop and the resize to the model's image size."""
    batch, *_, channels = adapter.image.shape
    top, left, height, width = adapter.crop()
    steps = []
    if (height, width) != adapter.input_size:
        begin = piece.tensor("begin", (4,), "int32", [0, top, left, 0])
        # -1 stands for the rest, whatever it is.
        size = [-1 if batch is None else batch, height, width, channels]
        size = piece.tensor("size", (4,), "int32", size)
        shape = (batch, height, width, channels)
        steps.append(("SLICE", shape, [begin, size], {"kind": "SliceOptions"}))
    if (height, width) != adapter.view.image.shape[1:3]:
        wanted = piece.tensor("size", (2,), "int32", adapter.view.image.shape[1:3])
        options = {"kind": "ResizeBilinearOptions", "halfPixelCenters": True}
        step = ("RESIZE_BILINEAR", adapter.view.image.shape, [wanted])
        steps.append((*step, {"version": 3, **options}))
    return steps


def _softmax(piece, adapter):
    (logits,), (tensor,) = piece.answers, adapter.compared
    options = {"kind": "SoftmaxOptions", "beta": 1.0}
    if piece.kind(logits) == "int8":
        # The one scale that the integer kernel knows.
        codes = {"scale": 1 / 256, "zero": -128}
        result = piece.tensor(tensor.name, tensor.shape, "int8", **codes)
        piece.operator("SOFTMAX", [logits], [result], version=2, **options)
    else:
        result = piece.tensor(tensor.name, tensor.shape, "float32")
        piece.operator("SOFTMAX", [logits], [result], **options)
    piece.answers = [result]


def _floats(piece, number):
    """Dequantize int16 outputs, which neither apps nor kernels read."""
    if piece.kind(number) != "int16":
        return number
    made = piece.tensor("floats", piece.graph.tensors[number].shape, "float32")
    options = {"kind": "DequantizeOptions", "version": 3}
    piece.operator("DEQUANTIZE", [number], [made], **options)
    return made


def _unsigned(piece, number):
    """Convert int8 to uint8 of the same values: MediaPipe reads no other integers."""
    if piece.kind(number) != "int8":
        return number
    shape, (scale, zero) = piece.graph.tensors[number].shape, piece.codes(number)
    codes = {"scale": scale, "zero": zero + 128}
    made = piece.tensor("unsigned", shape, "uint8", **codes)
    piece.operator("QUANTIZE", [number], [made], kind="QuantizeOptions")
    return made


def _best(piece, adapter):
    (classes, scores), (tensor,) = adapter.outputs, piece.answers
    dtype = piece.kind(tensor)
    count = piece.tensor("top", (), "int32", np.array(adapter.top))
    values = piece.tensor(scores.name, scores.shape, dtype, like=tensor)
    indices = piece.tensor(CLASSES, classes.shape, "int32")
    options = {"kind": "TopKV2Options", "version": 2 if dtype == "int8" else 1}
    piece.operator("TOPK_V2", [tensor, count], [values, indices], **options)
    piece.answers = [indices, values]
