"""Validation images and labels as checked batches, from arrays or iterables."""

import operator
import os

import numpy as np

from keras_vit.export.images.pixel_range import PixelRange
from keras_vit.models.input_range import UNKNOWN
from keras_vit.ranges import keywords
from keras_vit.tasks import output_task

SIZE = 32
# How to read a folder of image files.
FOLDER = (
    "keras_vit.export.images.image_folder.LabelledFolder(path, model.preprocessing)"
)


class Batches:
    """Iterates over (images, labels or None), each batch checked.

    Args:
        images: (N, H, W, C) array in the model's range, or any iterable of
            batches or single images: (B, H, W, C) or (H, W, C) arrays, or pairs of
            those with labels, such as a `tf.data.Dataset`.
        labels: N class indices or (N, K) one-hot rows, for arrays only; or as
            another task has them.
        contract: `Contract` of the model.
        judged: whether labels are wanted; without, those of pairs are left.

    Attributes:
        count: of batches, or None where nobody knows.
        notes, lost: sentences on what was left out or decided, as the images say
            themselves; `lost` are labels and images that a proof lacks.

    Raises:
        TypeError, ValueError: for images or labels that do not fit; arrays are
            checked at once, iterables batch by batch.
    """

    def __init__(self, images, labels, contract, judged=True):
        self._contract, self._judged = contract, judged
        first = contract.outputs[0]
        self._task = output_task(first)
        vectors = [t for t in contract.outputs if len(t.shape) == 2]
        self._scores = first if self._task.classes(first) else [*vectors, first][0]
        self._range = PixelRange(contract)
        self.notes = list(getattr(images, "notes", ()))
        self.lost = list(getattr(images, "lost", ()))
        if isinstance(images, (str, os.PathLike)):
            raise TypeError(
                f"images: must be arrays, got the path {os.fspath(images)!r}. Read a "
                f"folder with {FOLDER}."
            )
        if hasattr(images, "shape") or _is_list_of_images(images):
            images, labels = self._checked(images, labels)
            self._range.close()
            self.count = -(-len(images) // SIZE)
            self._source = _cut(images, labels)
            return
        if labels is not None:
            raise ValueError(
                "labels: go with an array of images, got an iterable of batches. Let "
                "it give (images, labels) pairs."
            )
        if not hasattr(images, "__iter__"):
            raise TypeError(
                "images: must be an array (N, H, W, C) or an iterable of batches, got "
                f"{type(images).__name__}. Stack the images with numpy.stack."
            )
        _refuse_endless(images)
        self.count = operator.length_hint(images) or None
        self._source = map(self._split, images)

    def __iter__(self):
        empty = True
        for images, labels in self._source:
            empty = False
            yield images, labels
        if empty:
            raise ValueError("images: must hold at least one batch, got none.")
        self._range.close()

    def _split(self, batch):
        """Split one item of an iterable; a single image becomes a batch of one."""
        pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        images, labels = batch if pair else (batch, None)
        labels = labels if self._judged else None
        if getattr(images, "ndim", None) == 3:
            images = np.asarray(images)[None]
            labels = None if labels is None else np.asarray(labels)[None]
        return self._checked(images, labels)

    def _checked(self, images, labels):
        """Convert both to numpy arrays, or raise the error that says what is wrong."""
        images = _as_numbers(images)
        height, width, channels = self._contract.image.shape[1:]
        if images.ndim != 4 or images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"images: must be (N, {height}, {width}, {channels}), got shape "
                f"{images.shape}. Prepare them with model.preprocessing."
            )
        if not len(images):
            raise ValueError("images: must hold at least one image, got none.")
        if images.dtype.kind in "iu" and self._contract.mode != "none":
            row = keywords(self._contract.mode)
            how = f"Use keras_vit.preprocess_input(images, {row})"
            raise ValueError(
                f"images: must be in the model's range, got {images.dtype} pixels. "
                f"{how if self._contract.stated else f'But {UNKNOWN}'}."
            )
        images = images.astype("float32")
        bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
        if len(bad):
            raise ValueError(
                f"images: must be finite, got NaN or infinity in image {bad[0]} "
                f"({len(bad)} in all). Leave it out, or look how it was decoded."
            )
        self._range.add(images)
        if labels is None:
            return images, None
        return images, self._task.check_labels(labels, len(images), self._scores)


class BatchesWithNotes:
    """Batches with notes for the report.

    Args:
        batches: iterable. notes: as `Batches` has them.
    """

    def __init__(self, batches, notes):
        self._batches, self.notes = batches, list(notes)

    def __length_hint__(self):
        return operator.length_hint(self._batches)

    def __iter__(self):
        return iter(self._batches)


def _as_numbers(images):
    """Convert images to a numpy array; refuse Pillow images and other objects."""
    image_type = type(
        images[0] if isinstance(images, (tuple, list)) and images else images
    )
    if image_type.__module__.startswith("PIL."):
        raise TypeError(
            "images: must be arrays, got images of Pillow. Prepare each with "
            "model.preprocessing(numpy.asarray(image.convert('RGB')))."
        )
    array = None if image_type in (dict, str) else np.asarray(images)
    if array is None or array.dtype.kind not in "fiu":
        what = image_type.__name__ if array is None else f"dtype {array.dtype}"
        raise TypeError(
            f"images: must be arrays of numbers, got {what}. Give (N, H, W, C) arrays, "
            "or (images, labels) pairs of them."
        )
    return array


def _is_list_of_images(images):
    listed = isinstance(images, (list, tuple))
    return listed and all(getattr(image, "ndim", 0) == 3 for image in images)


def _cut(images, labels):
    for start in range(0, len(images), SIZE):
        end = start + SIZE
        yield images[start:end], None if labels is None else labels[start:end]


def _refuse_endless(images):
    """Refuse a repeated `tf.data.Dataset`, which would never end."""
    if hasattr(images, "cardinality") and int(images.cardinality()) == -1:
        raise ValueError(
            "images: must be a finite dataset, got one that repeats for ever. Use "
            "dataset.take(n)."
        )
