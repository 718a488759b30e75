"""The operators of a face in a `.tflite` graph: pixels in front, scores behind."""

import numpy as np

from keras_vit.export.io.io_adapter import CLASSES
from keras_vit.ranges import pixel_statistics


def dress(piece, face):
    """Put the face's operators around a graph.

    Args:
        piece: `keras_vit.export.formats.tflite.assembly.Piece` of the model alone.
        face: `Face`.
    """
    if face.embedded:
        _pixels(piece, face)
    if face.embedded or face.softmax or face.top is not None:
        piece.answers = [_floats(piece, number) for number in piece.answers]
    if face.softmax:
        _softmax(piece, face)
    if face.embedded:
        piece.answers = [_unsigned(piece, number) for number in piece.answers]
    if face.top is not None:
        _best(piece, face)


def _pixels(piece, face):
    """uint8 -> float -> crop -> resize -> normalise, in front of everything.

    A graph in integers throughout takes pixels already; only its geometry is added.
    """
    whole = piece.kind(piece.image) == "uint8"
    steps = [] if whole else [("CAST", face.image.shape, [], {"kind": "CastOptions"})]
    steps += _geometry(piece, face) if face.resizes else []
    steps += [] if whole else _normalisation(piece, face)
    if piece.kind(piece.image) == "int16":
        steps.append(("QUANTIZE", None, [], {"kind": "QuantizeOptions", "version": 2}))
    if not steps:
        return
    dtype, like = ("uint8", piece.image) if whole else ("float32", None)
    image = piece.tensor(face.image.name, face.image.shape, "uint8", like=like)
    ends = [piece.tensor(s[0].lower(), s[1], dtype, like=like) for s in steps[:-1]]
    pairs = zip([image, *ends], [*ends, piece.image], steps, strict=True)
    for before, after, (name, _, constants, options) in reversed(list(pairs)):
        piece.operator(name, [before, *constants], [after], first=True, **options)
    piece.image = image


def _normalisation(piece, face):
    """Steps that bring pixels to the model's range."""
    mean, std = pixel_statistics(face.mode, face.image.shape[-1])
    shape, steps = face.core.image.shape, []
    if not (std == 1).all():
        factor = piece.tensor("scale", std.shape, "float32", 1 / std)
        steps.append(("MUL", shape, [factor], {"kind": "MulOptions"}))
    if mean.any():
        offset = piece.tensor("offset", mean.shape, "float32", -mean / std)
        steps.append(("ADD", shape, [offset], {"kind": "AddOptions"}))
    return steps


def _geometry(piece, face):
    """Steps that cut out the part that the model sees, and bring it to its size."""
    batch, *_, channels = face.image.shape
    top, left, height, width = face.crop()
    steps = []
    if (height, width) != face.input_size:
        begin = piece.tensor("begin", (4,), "int32", [0, top, left, 0])
        # -1 stands for the rest, whatever it is.
        size = [-1 if batch is None else batch, height, width, channels]
        size = piece.tensor("size", (4,), "int32", size)
        shape = (batch, height, width, channels)
        steps.append(("SLICE", shape, [begin, size], {"kind": "SliceOptions"}))
    if (height, width) != face.core.image.shape[1:3]:
        wanted = piece.tensor("size", (2,), "int32", face.core.image.shape[1:3])
        options = {"kind": "ResizeBilinearOptions", "halfPixelCenters": True}
        step = ("RESIZE_BILINEAR", face.core.image.shape, [wanted])
        steps.append((*step, {"version": 3, **options}))
    return steps


def _softmax(piece, face):
    (logits,), (tensor,) = piece.answers, face.compared
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
    """int16 as floats, for answers to be read: neither apps nor kernels know it."""
    if piece.kind(number) != "int16":
        return number
    made = piece.tensor("floats", piece.graph.tensors[number].shape, "float32")
    options = {"kind": "DequantizeOptions", "version": 3}
    piece.operator("DEQUANTIZE", [number], [made], **options)
    return made


def _unsigned(piece, number):
    """int8 -> uint8 with the same meaning: MediaPipe reads nothing else of integers."""
    if piece.kind(number) != "int8":
        return number
    shape, (scale, zero) = piece.graph.tensors[number].shape, piece.codes(number)
    codes = {"scale": scale, "zero": zero + 128}
    made = piece.tensor("unsigned", shape, "uint8", **codes)
    piece.operator("QUANTIZE", [number], [made], kind="QuantizeOptions")
    return made


def _best(piece, face):
    (classes, scores), (given,) = face.outputs, piece.answers
    kind = piece.kind(given)
    count = piece.tensor("top", (), "int32", np.array(face.top))
    values = piece.tensor(scores.name, scores.shape, kind, like=given)
    indices = piece.tensor(CLASSES, classes.shape, "int32")
    options = {"kind": "TopKV2Options", "version": 2 if kind == "int8" else 1}
    piece.operator("TOPK_V2", [given, count], [values, indices], **options)
    piece.answers = [indices, values]
