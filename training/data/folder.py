"""Folders of images, one folder per class.

Two layouts are read:

- split folders, `PATH/{train,val|validation,test}/CLASS/IMAGE`, as
  `tfds.folder_dataset.ImageFolder` reads them (same files, same label order),
  with BMP and GIF as well. Without a validation folder, a tenth of train is
  held out for it.
- class folders, `PATH/CLASS/IMAGE`: of each class a fifth goes to test, a tenth
  to validation, the rest to train.

Held-out images are those whose "CLASS/IMAGE" has the smallest SHA-256, at least
one per class: the split depends on the names alone.
"""

import hashlib
import os
import pathlib
import random

import tensorflow as tf

from keras_vit.errors import DataError
from keras_vit.progress import Bar
from keras_vit.training.data import ops
from keras_vit.training.data.splits import SPLITS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
SHOWN = 5  # names in an error message
DECODED = set()  # versions of files that this process has decoded


def list_splits(path, whole=False):
    """Find classes and images by name; nothing is opened.

    Args:
        path: folder in one of the two layouts.
        whole: whether to give one split "all" with every image, instead.

    Returns:
        Class names, sorted, and a dict split -> list of (path, label).

    Raises:
        FileNotFoundError: when there is no such folder.
        DataError: when it is in neither layout, or a class has no images.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"{path}: must be a folder of images, but there is no such folder. "
            "Check the path."
        )
    folders = _folders(root)
    split_folders = [f for f in folders if f.name in SPLIT_NAMES]
    if any(_folders(f) for f in split_folders):
        names, files = _list_split_folders(root, split_folders)
    else:
        names, files = _list_class_folders(root, folders, whole)
    if whole:
        files = {"all": [row for rows in files.values() for row in rows]}
    return names, files


def _folders(path):
    return sorted(f for f in path.iterdir() if f.is_dir() and f.name[0] not in "._")


def _images(path):
    return sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)


def _list_split_folders(root, folders):
    names = tuple(sorted({f.name for split in folders for f in _folders(split)}))
    _check_count(root, names)
    files = {}
    for split in folders:
        rows = [(f, k) for k, c in enumerate(names) for f in _listed(split / c)]
        if not rows:
            raise DataError(
                f"{split}: must hold images in class folders, got none. "
                "Fill it, or remove it."
            )
        if files.setdefault(SPLIT_NAMES[split.name], rows) is not rows:
            raise DataError(
                f"{root}: must have one validation folder, got both 'val' and "
                "'validation'. Remove one."
            )
    if "train" in files and "validation" not in files:
        files["train"], files["validation"] = _hold_out(
            files["train"], VALIDATION_SHARE
        )
    return names, {name: files[name] for name in SPLITS if name in files}


def _listed(folder):
    return _images(folder) if folder.is_dir() else []


def _list_class_folders(root, folders, whole):
    names = tuple(f.name for f in folders)
    _check_count(root, names)
    rows = [(f, k) for k, folder in enumerate(folders) for f in _images(folder)]
    if whole:
        return names, {"all": rows}
    for label, folder in enumerate(folders):
        count = sum(row[1] == label for row in rows)
        if count < 3:
            raise DataError(
                f"{folder}: needs 3 images or more, one each for training, validation "
                f"and test, got {count} with the suffixes {' '.join(SUFFIXES)}. "
                "Add images, remove the folder, or evaluate with split='all'."
            )
    count = len(rows)
    rest, test = _hold_out(rows, TEST_SHARE)
    share = VALIDATION_SHARE * count / len(rest)
    train, validation = _hold_out(rest, share)
    return names, {"train": train, "validation": validation, "test": test}


def _check_count(root, names):
    if not names:
        raise DataError(
            f"{root}: must hold one folder per class, or train/, val/ and test/ with "
            "class folders, got no folders. Sort the images into folders named after "
            "the classes."
        )
    if len(names) == 1:
        raise DataError(
            f"{root}: must hold two classes or more, got only {names[0]!r}. "
            "Add a folder for another class."
        )


def _hold_out(rows, share):
    """Set a share of each class aside: (kept, held), both in their old order."""
    held = set()
    for label in {label for _, label in rows}:
        paths = [path for path, k in rows if k == label]
        paths.sort(key=_digest)
        count = max(round(share * len(paths)), min(1, len(paths) - 1))
        held.update(paths[:count])
    kept = [row for row in rows if row[0] not in held]
    return kept, [row for row in rows if row[0] in held]


def _digest(path):
    return hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()


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
        return index, tf.reduce_max(ops.decode(tf.io.read_file(path)))

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
        raise DataError(
            f"{root}: every class needs images for training, got none of "
            f"{', '.join(map(repr, empty))}. Add images, or remove the folder."
        )
