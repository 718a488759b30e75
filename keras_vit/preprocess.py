"""Preprocessing: resize, crop and value range of a model's images.

Augmentation does not live here but in `keras_vit.training.data`.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_vit import imagenet, ranges
from keras_vit.choices import check_choice
from keras_vit.errors import DataError
from keras_vit.layers.interpolate import matrix
from keras_vit.orientation import HEAD, number_of, upright
from keras_vit.ranges import Range, pixel_statistics
from keras_vit.types import Config, Tensor

RESIZES = ("squash", "short_side")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area")
ROUNDINGS = ("none", "each_pass", "truncate")
GEOMETRIES = ("torchvision", "tensorflow")


@keras.saving.register_keras_serializable("keras_vit")
@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How images are resized, cropped and normalised for a model.

    Args:
        image_size: (H, W) px that the model takes.
        mode: value range, see `preprocess_input`; None for "google", or "custom"
            where mean, std or scale are given.
        resize: "squash" resizes straight to the target, "short_side" keeps the
            aspect ratio and crops the centre.
        crop: share of the resized short side that the centre crop keeps, 0..1.
        interpolation: "nearest", "bilinear", "bicubic" or "area".
        antialias: whether shrinking averages (PIL does, TensorFlow's default
            does not).
        rounding: "none" keeps fractions (vit_jax), "each_pass" rounds to whole
            levels after the width and after the height (PIL), "truncate" drops
            fractions at the end (big_vision, which casts back to uint8).
        geometry: with "short_side", what happens to half pixels. "torchvision"
            cuts the long side down and rounds the corner of the crop,
            "tensorflow" rounds the long side and cuts the corner down.
        mean, std: of a range of your own, (pixel * scale - mean) / std: a number, or
            one per channel. Those of a named range become its mode.
        scale: of such a range, 1 / 255 by default.

    Raises:
        TypeError, ValueError: for a value that is not among the choices, or numbers
            beside a name.

    >>> Preprocessing(mean=0, std=1, scale=1 / 255).range
    Range(mean=(0.0,), std=(1.0,))
    """

    image_size: tuple = (224, 224)
    mode: str | None = None
    resize: str = "squash"
    crop: float = 1.0
    interpolation: str = "bilinear"
    antialias: bool = True
    rounding: str = "none"
    geometry: str = "torchvision"
    mean: tuple | None = None
    std: tuple | None = None
    scale: tuple | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_size", tuple(self.image_size))
        check_choice("mode", self.mode, (*ranges.RANGES, ranges.CUSTOM, None))
        found = ranges.settled(self.mode, self.mean, self.std, self.scale)
        for name, value in zip(("mode", "mean", "std", "scale"), found, strict=True):
            object.__setattr__(self, name, value)
        check_choice("resize", self.resize, RESIZES)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_choice("rounding", self.rounding, ROUNDINGS)
        check_choice("geometry", self.geometry, GEOMETRIES)
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop: must be above 0 and at most 1, got {self.crop}.")

    def get_config(self) -> Config:
        """Plain values that rebuild this object."""
        config = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        return {k: v for k, v in config.items() if v is not None}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Rebuild from `get_config`."""
        return cls(**config)

    @property
    def range(self) -> str | Range:
        """The mode of `preprocess_input`: a name, or mean and std."""
        if self.mode != ranges.CUSTOM:
            return str(self.mode)
        return ranges.custom(self.mean, self.std, self.scale)

    def statistics(self) -> tuple | None:
        """(mean, std) per channel on a scale of 0 to 1, or None for mode "none"."""
        return ranges.numbers(self.range)

    def resized(self, image_size: tuple[int, int]) -> Self:
        """Copy the preprocessing with another (H, W)."""
        return dataclasses.replace(self, image_size=tuple(image_size))

    def changed(self, **fields: Any) -> Self:
        """Copy the preprocessing with other fields.

        A mode, or numbers, take the place of the whole range that was there.
        """
        names = ("mode", "mean", "std", "scale")
        if fields.keys() & set(names):
            fields = {**dict.fromkeys(names), **fields}
        return dataclasses.replace(self, **fields)

    def __call__(self, images: Tensor) -> Tensor:
        """Preprocess decoded images.

        Args:
            images: (H, W, C) or (B, H, W, C), uint8 or float of 0 to 255.

        Returns:
            float32 of the model's size and range, same rank.
        """
        return preprocess_input(self.resize_images(images), mode=self.range)

    def resize_images(self, images: Tensor) -> Tensor:
        """Resize and centre crop; values stay 0 to 255.

        Args:
            images: (H, W, C) or (B, H, W, C), uint8 or float.

        Returns:
            float32, (h, w, C) or (B, h, w, C) with (h, w) = image_size.
        """
        images = ops.cast(images, "float32")
        height, width = images.shape[-3:-1]
        target = self._resized_shape(height, width)
        across = self._weights(width, target[1], self.image_size[1])
        down = self._weights(height, target[0], self.image_size[0])
        images = self._round(ops.einsum("qw,...hwc->...hqc", across, images))
        images = self._round(ops.einsum("ph,...hwc->...pwc", down, images))
        return ops.floor(images + 1e-4) if self.rounding == "truncate" else images

    def source_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The part of an image inside the centre crop.

        Args:
            height, width: of the image, px.

        Returns:
            (top, left, height, width) in whole px.
        """
        full = self._resized_shape(height, width)
        sizes = zip((height, width), self.image_size, full, strict=True)
        sides = [min(old, max(1, round(old * kept / new))) for old, kept, new in sizes]
        return (height - sides[0]) // 2, (width - sides[1]) // 2, *sides

    def _round(self, images):
        """Round to integers as PIL does, halves up, within 0 to 255."""
        if self.rounding == "each_pass":
            images = ops.floor(images + 0.5)
        return ops.clip(images, 0.0, 255.0)

    def _weights(self, old, resized, kept):
        """Interpolation weights (kept, old) float32: one row per pixel in the crop."""
        if old == resized:
            weights = np.eye(old)
        else:
            weights = matrix(old, resized, self.interpolation, self.antialias)
        corner = round if self.geometry == "torchvision" else int
        start = corner((resized - kept) / 2)
        return weights[start : start + kept].astype("float32")

    def _resized_shape(self, height, width):
        """(H, W) before the centre crop."""
        out_h, out_w = (int(side / self.crop) for side in self.image_size)
        if self.resize == "squash":
            return out_h, out_w
        long = int if self.geometry == "torchvision" else round
        if out_h * width >= out_w * height:  # the height is what just fits
            return out_h, max(long(out_h * width / height), out_w)
        return max(long(out_w * height / width), out_h), out_w


def preprocess_image_file(image, preprocessing):
    """Decode an image file and preprocess it for a model.

    Grey and palette images become three channels; photos are turned the right way up,
    as cameras and phones say beside the pixels.

    Args:
        image: path, or the bytes of a JPEG, PNG or other file that Pillow reads.
        preprocessing: `Preprocessing`, such as `model.preprocessing`.

    Returns:
        (H, W, 3) float32 numpy array.

    Raises:
        FileNotFoundError: when there is no such file.
        DataError: when it is no image, or one of absurd size.
    """
    return ops.convert_to_numpy(preprocessing(read_image(image)))


def read_image(image):
    """Decode an image file: 8 bits, three channels, the right way up.

    Of animations and files of several pages the first one is taken, of 16 bits the
    upper eight, and what is transparent is shown.

    Args:
        image: path, or the bytes of the file.

    Returns:
        (H, W, 3) uint8 numpy array.

    Raises:
        FileNotFoundError: when there is no such file.
        DataError: when it is no image, or one of absurd size.
    """
    from PIL import Image

    where = "image" if isinstance(image, bytes) else str(image)
    source = io.BytesIO(image) if isinstance(image, bytes) else image
    try:
        with Image.open(source) as file:
            number = number_of(file, _head(image))
            pixels = np.asarray(_eight_bits(file).convert("RGB"))
            return np.ascontiguousarray(upright(pixels, number))
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as err:
        raise DataError(
            f"{where}: must be an image such as a JPEG or PNG, got one that cannot be "
            f"decoded ({err}). Convert it, or fetch it again."
        ) from err


def _head(image):
    """First bytes of a file, given by its path or its content."""
    if isinstance(image, bytes):
        return image[:HEAD]
    with open(image, "rb") as file:
        return file.read(HEAD)


def _eight_bits(image):
    """Convert a Pillow image to 8 bits per channel; Pillow itself clips 16 bits."""
    from PIL import Image

    deep = image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG")
    if image.mode in ("I", "F") and not deep:
        low, high = image.getextrema()
        if low < 0 or high > 255 or 0 < high <= 1:
            raise ValueError(
                f"32-bit pixels from {low:g} to {high:g}, which no rule scales to 0 to "
                "255"
            )
    if not deep:
        return image
    return Image.fromarray((np.asarray(image).astype("uint16") >> 8).astype("uint8"))


def preprocess_input(
    x: Tensor,
    mode: str | Range | None = None,
    mean: Any = None,
    std: Any = None,
    scale: Any = None,
) -> Tensor:
    """Normalise pixels to the value range of the weights.

    Args:
        x: (..., C) uint8 or float pixels from 0 to 255. C is 3 for modes with one
            number per colour, anything for the others.
        mode: "google", which is the default: x / 127.5 - 1. "imagenet", "clip":
            (x / 255 - mean) / std with the statistics of these per channel. "none":
            the values as they are. Or a `Range`, as `Preprocessing.range` gives it.
        mean, std, scale: a range of your own, see `Preprocessing`.

    Returns:
        float32, same shape.

    Raises:
        TypeError, ValueError: for an unknown mode, or numbers that do not fit.

    >>> preprocess_input([0.0, 127.5, 255.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    if not isinstance(mode, ranges.Range):
        mode = Preprocessing(mode=mode, mean=mean, std=std, scale=scale).range
    backend_tensor = ops.is_tensor(x)
    x = ops.cast(ops.convert_to_tensor(x), "float32")
    rows = ranges.numbers(mode)
    if mode == "google":
        x = x / 127.5 - 1.0
    elif rows is not None:
        mean, std = ranges.in_channels(mode, x.shape[-1]) if x.shape else rows
        x = (x / 255.0 - ops.array(mean)) / ops.array(std)
    return x if backend_tensor else ops.convert_to_numpy(x)


def to_pixels(images, mode):
    """Undo `preprocess_input`, to show images.

    Args:
        images: (..., C) float. mode: the range they are in, see `preprocess_input`;
            "none" is 0 to 255, or 0 to 1 where nothing is above.

    Returns:
        uint8, same shape.
    """
    images = np.asarray(images, "float32")
    if ranges.numbers(mode) is None and images.size and images.max() <= 1.0:
        images = images * 255.0
    mean, std = pixel_statistics(mode, images.shape[-1])
    return np.clip(np.round(images * std + mean), 0, 255).astype("uint8")


def decode_predictions(
    predictions: Tensor, top: int = 5, labels: Sequence[str] | None = None
) -> list[list[tuple[str, float]]]:
    """Name the top classes of scores.

    Args:
        predictions: (B, K) logits or probabilities.
        top: how many per image.
        labels: K class names. None with K = 1000 means ImageNet-1k.

    Returns:
        For each image a list of `top` (name, score) pairs, best first. Scores
        are the values given; apply a softmax first for probabilities.

    Raises:
        ValueError: when the labels do not fit the predictions.

    >>> decode_predictions([[0.1, 2.0, -1.0]], top=1, labels=["cat", "dog", "hen"])
    [[('dog', 2.0)]]
    """
    scores = ops.convert_to_numpy(predictions)
    if scores.ndim != 2:
        raise ValueError(
            f"predictions: must be (B, K), got shape {scores.shape}. "
            "Add a batch axis with x[None]."
        )
    labels = _imagenet_labels(scores.shape[1]) if labels is None else labels
    if len(labels) != scores.shape[1]:
        raise ValueError(
            f"labels: must name {scores.shape[1]} classes, got {len(labels)} names."
        )
    order = (-scores).argsort(axis=1, kind="stable")[:, :top]
    return [
        [(labels[k], float(row[k])) for k in best]
        for row, best in zip(scores, order, strict=True)
    ]


def _imagenet_labels(classes):
    """The names of ImageNet-1k, when there are as many classes."""
    if classes != len(imagenet.NAMES):
        raise ValueError(
            f"labels: needed for {classes} classes; only the 1000 of ImageNet-1k are "
            "known by heart. Pass labels=[...]."
        )
    return imagenet.NAMES
