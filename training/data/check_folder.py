"""Image files of a data set: checked before training, so that no run dies of one.

Which files, classes and splits there are says `keras_vit.image_folder`.
"""

import os
import random

import tensorflow as tf

from keras_vit import image_folder
from keras_vit.errors import DataError
from keras_vit.progress import Bar
from keras_vit.training.data import image_ops

SHOWN = 5  # names in an error message
DECODED: set = set()  # versions of files that this process has decoded


def list_splits(path, whole=False):
    """Class names, sorted, and a dict split -> list of (path, label).

    Args, Raises:
        as `keras_vit.image_folder.scan`.
    """
    found = image_folder.scan(path, whole)
    return found.class_names, found.splits


def check_images(files, on_bad_image, verbose=1, sample=None):
    """Decode images once, so that no run dies of one in the middle.

    Files that this process has decoded before, and that are unchanged, are not again.

    Args:
        files: dict split -> list of (path, label).
        on_bad_image: "refuse" raises, "skip" leaves them out.
        verbose: 1 shows a progress bar.
        sample: so many images are drawn, always the same; None is all of them.

    Returns:
        `files` without the bad ones, and a tuple of their paths.

    Raises:
        DataError: with "refuse", naming the files that cannot be decoded.
    """
    paths = [str(path) for rows in files.values() for path, _ in rows]
    if sample is not None:
        paths = sorted(random.Random(0).sample(paths, min(sample, len(paths))))
    versions = {path: _version(path) for path in paths}
    fresh = [path for path in paths if versions[path] not in DECODED]
    good = {fresh[index] for index in _decodable(fresh, verbose)} if fresh else set()
    DECODED.update(versions[path] for path in good)
    bad = tuple(path for path in fresh if path not in good)
    if not bad:
        return files, ()
    if on_bad_image == "refuse":
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise DataError(
            f"images: all must be readable, got {len(bad)} of {len(paths)} that "
            f"cannot be decoded: {', '.join(bad[:SHOWN])}{more}. Remove or replace "
            "them, or pass on_bad_image='skip'."
        )
    skip = set(bad)
    kept = {
        split: [row for row in rows if str(row[0]) not in skip]
        for split, rows in files.items()
    }
    return kept, bad


def _version(path):
    """A file as it is now; None where it cannot be looked at."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return path, facts.st_size, facts.st_mtime_ns


def _decodable(paths, verbose):
    """Numbers of the paths whose images TensorFlow can decode."""

    def probe(index, path):
        # The pixels must be used, or the graph optimiser drops the decoding.
        return index, tf.reduce_max(image_ops.decode(tf.io.read_file(path)))

    rows = tf.data.Dataset.from_tensor_slices(paths).enumerate()
    rows = rows.map(probe, tf.data.AUTOTUNE, deterministic=False).ignore_errors()
    progress = Bar(len(paths), "image", verbose)
    good = set()
    for index, _ in rows.as_numpy_iterator():
        good.add(int(index))
        progress.update(len(good))
    progress.finish()
    return good


def check_classes(root, files, class_names):
    """Make sure that training sees every class, and that no split is empty.

    Raises:
        DataError: naming the class or the split.
    """
    for split, rows in files.items():
        if not rows:
            raise DataError(
                f"{root}: split {split!r} must not be empty, got no readable image. "
                "Add images."
            )
    if "train" not in files:
        return
    seen = {label for _, label in files["train"]}
    empty = [name for k, name in enumerate(class_names) if k not in seen]
    if empty:
        others = sorted(
            {s for s, rows in files.items() for _, k in rows if class_names[k] in empty}
        )
        where = f" (only in {', '.join(others)})" if others else ""
        raise DataError(
            f"{root}: every class needs images for training, got none of "
            f"{', '.join(map(repr, empty))}{where}. Add images, or remove the folder."
        )
