"""Arrays and tf.data of the user's own as a source."""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

from keras_vit.errors import DataError
from keras_vit.training import tasks
from keras_vit.training.data.splits import SPLITS, IndexedSplit, SequentialSplit

HELD_OUT = 10  # one in so many, where there is no validation split
SAMPLE = 64  # images that a digest looks at


def is_own(data):
    """Whether this is what `read_own` takes."""
    if isinstance(data, dict | tf.data.Dataset):
        return True
    return isinstance(data, tuple) and len(data) == 2


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayData:
    """Data that were handed over, read and hashed once.

    Args:
        class_names: in label order. splits: split name -> split.
        name: with a digest; it holds for these data alone.
        fixed: whether the order of the images is known to be the same the next time.
        named: whether the user gave the names of the classes.
        target_shape: of one image's target, None where nobody knows it.
    """

    class_names: tuple
    splits: dict
    name: str
    fixed: bool
    named: bool
    target_shape: tuple | None


def read_own(data, task=None):
    """Check and hash data that were handed over.

    Args:
        data: (images, labels) arrays, images (n, H, W, C) uint8 or of 0 to 255, C 1
            or 3, labels (n,) or (n, 1) whole numbers from 0, or as another task has
            them; or a `tf.data.Dataset` of single (image, label); or a dict with one
            of these as "train" and perhaps as "validation" and "test", and perhaps
            "class_names". Without validation, one image in ten of "train" is held
            out.
        task: `Task`; None for that of the labels.

    Returns:
        `ArrayData`.

    Raises:
        DataError: for data of another form.
    """
    task = tasks.task_of(data=data) if task is None else task
    parts = dict(data) if isinstance(data, dict) else {"train": data}
    names = parts.pop("class_names", None)
    named = names is not None
    if "train" not in parts or not parts.keys() <= set(SPLITS):
        raise DataError(
            f"data: must have 'train', and may have {', '.join(SPLITS[1:])} and "
            f"class_names, got {sorted(map(str, parts))}. Pass {{'train': (x, y)}}."
        )
    splits = {n: _split(n, parts[n], task) for n in SPLITS if n in parts}
    if "validation" not in splits:
        splits = {**_hold_out(splits.pop("train")), **splits}
    lowest, highest = _ends(splits.values(), task)
    if names is None and highest is None:
        raise DataError(
            "data: needs 'class_names' where images come from a tf.data.Dataset, "
            "got none. Pass {'train': ..., 'class_names': [...]}."
        )
    lowest = 0 if names is not None else lowest
    names = [str(n) for n in range(highest + 1)] if names is None else names
    if highest is not None and highest >= len(names):
        raise DataError(
            f"data: labels must be below {len(names)}, the number of class_names, got "
            f"{highest}. Number the classes from 0."
        )
    if lowest:
        raise DataError(
            f"data: labels must be counted from 0, got none below {lowest}. Pass "
            f"labels - {lowest}, or class_names with names for all of 0 to {highest}."
        )
    names, fixed = tuple(map(str, names)), highest is not None
    shape = tasks.target_shape(data)
    return ArrayData(names, splits, _name(splits), fixed, named, shape)


def _ends(splits, task):
    """The lowest and highest label, None where a data set keeps them to itself."""
    if any(isinstance(split, SequentialSplit) for split in splits):
        return None, None
    known = [task.class_numbers(split.labels) for split in splits]
    known = [labels for labels in known if labels.size]
    return min(int(n.min()) for n in known), max(int(n.max()) for n in known)


def _split(name, part, task):
    if isinstance(part, tf.data.Dataset):
        return _stream(name, part, task)
    try:
        images, labels = (np.asarray(array) for array in part)
    except (TypeError, ValueError) as err:
        raise DataError(
            f"data: {name!r} must be (images, labels) or a tf.data.Dataset, got "
            f"{type(part).__name__}. Pass two arrays."
        ) from err
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise DataError(
            f"data: images of {name!r} must be (n, H, W, C) with C of 1 or 3, got "
            f"shape {images.shape}. Add an axis, or convert the colours."
        )
    labels = task.check_targets(name, labels, images)
    return IndexedSplit(_pixels(name, images), labels)


def _pixels(name, images):
    """As uint8; floats of 0 to 1 are refused rather than turned black."""
    if images.dtype == np.uint8:
        return images
    if images.min() < 0 or images.max() > 255 or images.max() <= 1:
        raise DataError(
            f"data: pixels of {name!r} must lie between 0 and 255, got {images.min()} "
            f"to {images.max()}. Multiply them by 255."
        )
    return np.rint(images).astype("uint8")


def _stream(name, data, task):
    """A data set of single images; its length must be known."""
    spec, size = data.element_spec, int(data.cardinality())
    pair = isinstance(spec, tuple) and len(spec) == 2
    image = spec[0] if pair else None
    fits = pair and (
        (image.dtype == tf.string and image.shape.rank == 0)
        or (image.dtype == tf.uint8 and image.shape.rank == 3)
    )
    if not fits or spec[1].shape.rank != task.target_rank:
        raise DataError(
            f"data: {name!r} must give single (image, label): uint8 pixels (H, W, C) "
            f"or an encoded string, and {task.target}, got {spec}. Undo .batch(), and "
            "leave resizing and scaling to the recipe."
        )
    if size <= 0:
        raise DataError(
            f"data: {name!r} must have a known length, got {size}. Use "
            "data.apply(tf.data.experimental.assert_cardinality(n)), without repeat."
        )
    return SequentialSplit(lambda seed: data, size)


def _hold_out(split):
    """One image in ten for validation, spread over the labels."""
    if isinstance(split, SequentialSplit):
        raise DataError(
            "data: needs 'validation' beside a tf.data.Dataset, got none. Pass "
            "{'train': ..., 'validation': ...}."
        )
    if split.size < 2:
        raise DataError(
            f"data: needs two images or more, one for validation, got {split.size}. "
            "Add images."
        )
    order = np.arange(split.size)
    if split.labels.ndim == 1:
        order = np.argsort(split.labels, kind="stable")
    held = np.sort(order[HELD_OUT // 2 :: HELD_OUT] if split.size > 5 else order[:1])
    kept = np.setdiff1d(np.arange(split.size), held)
    return {"train": split.kept(kept), "validation": split.kept(held)}


def _name(splits):
    """A name with a digest of the arrays, so that a run goes on with the same alone."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(f"{name} {split.size}".encode())
        if isinstance(split, IndexedSplit):
            few = np.linspace(0, split.size - 1, min(SAMPLE, split.size)).astype(int)
            digest.update(split.records[few].tobytes() + split.labels.tobytes())
    return f"own:{digest.hexdigest()[:16]}"
