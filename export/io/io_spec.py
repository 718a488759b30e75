"""The input and output specification of exported files: names, shapes, dtypes."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from keras_vit import ranges
from keras_vit.models.input_range import stated
from keras_vit.models.output_activation import meaning
from keras_vit.preprocess import Preprocessing, preprocess_input

INPUT = "image"
# Meaning of an output -> its name.
KINDS = {
    "softmax": "probabilities",
    "sigmoid": "probabilities",
    "logits": "logits",
}
TIE = 1 / 1024  # in codes


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; None is an open batch.

    An integer tensor with a scale stands for floats, `scale * (q - zero)`.
    """

    name: str
    dtype: str
    shape: tuple
    scale: float | None = None
    zero: int = 0

    @property
    def meaning(self):
        """The tensor after dequantization: float32 in place of integer codes."""
        return (
            self if self.scale is None else TensorSpec(self.name, "float32", self.shape)
        )

    def to_codes(self, values):
        """Quantize floats to this dtype; integers of this dtype stay as they are.

        Ties go up, and so does what rounding of float32 moved off a tie: pixels of a
        model with the range -1 to 1 lie on ties.

        >>> TensorSpec("image", "uint8", (2,), 1 / 127.5, 127).to_codes(
        ...     np.array([-1.0, 1.0], "float32")
        ... )
        array([  0, 255], dtype=uint8)
        """
        if self.scale is None or values.dtype == self.dtype:
            return values
        ends = np.iinfo(self.dtype)
        codes = np.floor(values / self.scale + (self.zero + 0.5 + TIE))
        return np.clip(codes, ends.min, ends.max).astype(self.dtype)

    def to_values(self, codes):
        """Dequantize integers; other values stay as they are."""
        if self.scale is None:
            return codes
        return ((codes.astype("float32") - self.zero) * self.scale).astype("float32")

    def __str__(self):
        return f"{self.name} {self.dtype} {self.shape}"


@dataclasses.dataclass(frozen=True)
class Contract:
    """Input, outputs and value range of an exported file, the same for every format.

    Args:
        image: the one input, float32 (B, H, W, C), B = 1 or open.
        outputs: what comes out, in the order of the model's outputs.
        mode: value range of the pixels, see `Preprocessing.range`.
        stated: whether the model says so, or a model inside; "google" is a guess
            otherwise.
        note: `Preprocessing` of the model, or None where nothing states it.
        found: where inside that was found, as a sentence; "" for its own note.
    """

    image: TensorSpec
    outputs: tuple
    mode: str | ranges.Range
    stated: bool = True
    note: Preprocessing | None = None
    found: str = ""

    @property
    def stated_mode(self):
        """The value range that the model states; "none" where it is a guess."""
        return self.mode if self.stated else "none"

    @property
    def batch(self):
        """1, or None when the batch is open."""
        return self.image.shape[0]


def contract_of(model, dynamic_batch):
    """Read the `Contract` of a functional model with one image input.

    The output of a linear dense layer is called "logits", of a softmax or sigmoid
    "probabilities", anything else "features", see `output_activation.meaning`; several
    outputs carry their index, as in "features_0".

    Args:
        model: functional or Sequential Keras model.
        dynamic_batch: whether the batch stays open; else it is 1.

    Returns:
        `Contract`.

    Raises:
        TypeError: for a model that is not functional.
        ValueError: for more than one input, or an input that is not an image
            of a fixed size.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise TypeError(
            "model: must be a functional or Sequential keras.Model, got "
            f"{type(model).__name__}. Wrap it: keras.Model(inputs, outputs)."
        )
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or None in shapes[0][1:]:
        raise ValueError(
            "model: must take one image of a fixed size (B, H, W, C), got inputs "
            f"{shapes}. Build it with a fixed image size."
        )
    if not keras.backend.is_float_dtype(model.inputs[0].dtype):
        raise ValueError(
            f"model: must take float images, got dtype {model.inputs[0].dtype}. "
            "Build it with keras.Input(..., dtype='float32')."
        )
    batch = None if dynamic_batch else 1
    image = TensorSpec(INPUT, "float32", (batch, *shapes[0][1:]))
    outputs = tuple(
        TensorSpec(name, "float32", (batch, *tensor.shape[1:]))
        for name, tensor in zip(_names(model), model.outputs, strict=True)
    )
    note, found = stated(model)
    mode = "google" if note is None else note.range
    return Contract(image, outputs, mode, note is not None, note, found or "")


def _names(model):
    names = [KINDS.get(meaning(tensor), "features") for tensor in model.outputs]
    if len(names) == 1:
        return names
    return [f"{name}_{index}" for index, name in enumerate(names)]


def check_images(contract, count=3, seed=0):
    """Make random images that resemble photographs, to compare a file with.

    Smooth colours with some noise on top, brought to the model's range.

    Args:
        contract: of the model. count: how many. seed: of the random numbers.

    Returns:
        (count, H, W, C) float32.
    """
    random = np.random.default_rng(seed)
    height, width, channels = contract.image.shape[1:]
    coarse = random.uniform(0, 255, (count, 4, 4, channels))
    rows, columns = (np.linspace(0, 3, side) for side in (height, width))
    images = _between(_between(coarse, rows, axis=1), columns, axis=2)
    images = np.clip(images + random.normal(0, 24, images.shape), 0, 255)
    try:
        ranges.in_channels(contract.mode, channels)
        mode = contract.mode
    except ValueError:  # a range of three colours says nothing of other channels
        mode = "google"
    return np.asarray(preprocess_input(images.astype("float32"), mode))


def _between(values, positions, axis):
    """Interpolate linearly along one axis."""
    low = np.minimum(positions.astype(int), values.shape[axis] - 2)
    shape = [1] * values.ndim
    shape[axis] = -1
    share = (positions - low).reshape(shape)
    first, second = values.take(low, axis), values.take(low + 1, axis)
    return first * (1 - share) + second * share


def check_suffix(path, suffix):
    """Check that a path has the suffix of its format.

    Raises:
        ValueError: when it does not.
    """
    if pathlib.Path(path).suffix != suffix:
        raise ValueError(
            f"path: must end in {suffix}, got {os.fspath(path)!r}. "
            f"Use {pathlib.Path(path).stem + suffix!r}, for example."
        )


def data_file(path):
    """Path of the external data of an `.onnx` file above 2 GiB.

    >>> data_file("out/model.onnx").name
    'model.onnx.data'
    """
    path = pathlib.Path(path)
    return path.with_name(path.name + ".data")


def size_of(path):
    """Bytes of a file with its external data, or of all files in a folder."""
    path = pathlib.Path(path)
    if path.is_file():
        data = data_file(path)
        more = data.stat().st_size if data.is_file() else 0
        return path.stat().st_size + more
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


SERVE = "serving_default"
