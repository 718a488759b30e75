"""A model's preprocessing: as stated, or found in its first layers."""

import keras
import numpy as np
from keras import ops

from keras_vit import private_keras, ranges
from keras_vit.preprocess import Preprocessing
from keras_vit.ranges import Range

# Layers allowed before the model: elementwise ones.
VALUES = (
    "Rescaling", "Normalization", "Activation",
    "TrueDivide", "Divide", "Multiply", "Subtract", "Add",
)  # fmt: skip
# Layers that are the identity in inference.
SAME = (
    "Identity", "Cast", "Dropout", "Resizing", "CenterCrop", "StopGradient",
    "AutoContrast", "CutMix", "MixUp", "RandAugment", "AugMix", "Pipeline",
)  # fmt: skip
# 255 levels become a range of a few units: such a front takes pixels.
FEW = 20.0
UNKNOWN = (
    "the model does not say which pixels it takes. Say it: model.preprocessing = "
    "keras_vit.Preprocessing(image_size, mode=...), or --preprocess mode=..., with "
    "'google' (-1 to 1), 'imagenet', 'clip', 'none' (0 to 255), or mean=, std=, scale="
)


def stated(model):
    """Preprocessing of a model, and where it was found.

    A model inside that has a note counts, through layers in front of it that only
    shift and scale; so does a layer that brings pixels to a range of its own.

    Args:
        model: `keras.Model` of any origin.

    Returns:
        (`Preprocessing`, None) for the model's own note; with a sentence, for what was
        found inside; (None, None) when nothing says it.
    """
    note = getattr(model, "preprocessing", None)
    if note is not None:
        return note, None
    graph = private_keras.functional_of(model)
    if len(getattr(graph, "inputs", None) or ()) != 1:
        return None, None
    return _found(graph, tuple(graph.inputs[0].shape[1:3]))


def assumed(model, size=None):
    """Preprocessing as `stated`, else the usual range.

    Args:
        model: `keras.Model`. size: (H, W) px; None for that of the model's input.

    Returns:
        (`Preprocessing`, sentence on what was found or guessed, or None).
    """
    preprocessing, source = stated(model)
    if preprocessing is None:
        size = tuple(model.input_shape[1:3]) if size is None else size
        guess = "images are brought to -1 to 1, which is a guess: "
        return Preprocessing(image_size=size), guess + UNKNOWN
    return preprocessing, source


def _found(graph, size):
    front = graph.inputs[0]
    readers = _readers(graph, front)
    while len(readers) == 1 and _is_front(readers[0][0]):
        front = readers[0][1]
        readers = _readers(graph, front)
    affine = _affine(graph, front)
    if affine is None:
        return None, None
    models = [reader for reader, _ in readers if isinstance(reader, keras.Model)]
    notes = [stated(inside)[0] for inside in models]
    if notes and None not in notes and len(models) == len(readers):
        if len({note.range for note in notes}) == 1:
            return _in_front_of(notes[0], affine, size, models[0].name)
    if front is graph.inputs[0] or notes:
        return None, None
    slope, _ = affine
    if not np.all(slope * 255 < FEW) or None in size:
        return None, None
    name = private_keras.origin_of(front).operation.name
    said = f"takes pixels of 0 to 255: {name!r} inside brings them to its own range"
    return Preprocessing(size, mode="none"), said


def _readers(graph, tensor):
    """(operation, its output) of each reader of a tensor."""
    readers = []
    for operation in graph.operations:
        for node in private_keras.calls_of(operation):
            if any(one is tensor for one in node.input_tensors):
                readers.append((operation, node.output_tensors[0]))
    return readers


def _is_front(operation):
    if isinstance(operation, keras.Sequential):
        return all(map(_is_front, operation.layers))
    name = type(operation).__name__
    if name == "Activation":
        return operation.activation is keras.activations.linear
    return name in (*VALUES, *SAME) or name.startswith("Random")


def _affine(graph, front):
    """(scale, offset) per channel of the layers in front, or None if not linear."""
    if front is graph.inputs[0]:
        return np.ones(1), np.zeros(1)
    shape = [side or 32 for side in graph.inputs[0].shape[1:]]
    levels = np.array([0.0, 1.0, 128.0, 255.0], "float32")
    images = np.ones((4, *shape), "float32") * levels[:, None, None, None]
    made = keras.Model(graph.inputs[0], front)(images, training=False)
    rows = ops.convert_to_numpy(made).astype("float64")[:, 0, 0]
    slope = (rows[3] - rows[0]) / 255
    line = rows[0] + slope * levels[:, None]
    straight = np.allclose(rows, line, rtol=1e-4, atol=1e-4 * np.abs(rows).max())
    return (slope, rows[0]) if straight and np.all(slope > 0) else None


def _in_front_of(preprocessing, affine, size, name):
    """Preprocessing of a nested model, adjusted for the layers in front of it.

    It takes (x / 255 - mean) / std; they give slope * x + offset.
    """
    slope, offset = affine
    rows = ranges.numbers(preprocessing.range) or ((0.0,), (ranges.PIXEL,))
    mean, std = map(np.array, rows)
    if not (np.all(slope == 1) and np.all(offset == 0)):
        found = Range(_row(mean + std * offset), _row(std * slope))
        preprocessing = preprocessing.changed(mean=found.mean, std=found.std)
    if None not in size:
        preprocessing = preprocessing.resized(size)
    return preprocessing, f"images are prepared as the model {name!r} inside says"


def _row(values):
    row = tuple(round(float(value), 7) for value in values)
    return row[:1] if len(set(row)) == 1 else row
