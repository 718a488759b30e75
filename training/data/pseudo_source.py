"""Images with the labels of a teacher, beside labelled ones: "pseudo:FILE".

Such a file is an .npz that `keras_vit.training.pseudo_label` writes: paths of images,
a row of probabilities for each, the names of the classes, and the source of the
labelled images.
"""

import dataclasses
import os
import zipfile

import numpy as np

from keras_vit import files
from keras_vit.errors import DataError
from keras_vit.training.data.check_folder import SHOWN
from keras_vit.training.data.splits import IndexedSplit

ARRAYS = {"paths": "U", "scores": "f", "classes": "U", "labelled": "U"}


def write(output, overwrite, **arrays):
    """Write a file of ARRAYS, whole or not at all."""
    with files.replacing(output, overwrite) as target:
        with open(target, "wb") as file:
            np.savez(file, **arrays)


def read(path):
    """The arrays of a file.

    Raises:
        FileNotFoundError: without one. DataError: for another file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"pseudo:{path}: must be a file of `keras-vit pseudo-label`, but there is "
            "none. Check the path."
        )
    try:
        with np.load(path, allow_pickle=False) as found:
            files.check_memory(f"pseudo:{path}", 2 * _bytes(found.zip))
            arrays = {name: found[name] for name in ARRAYS}
        right = all(arrays[name].dtype.kind == kind for name, kind in ARRAYS.items())
        counts = len(arrays["paths"]), len(arrays["classes"])
        right = right and arrays["scores"].shape == counts
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as err:
        raise DataError(
            f"pseudo:{path}: must be a whole file of `keras-vit pseudo-label`, got "
            f"another ({err!r}). Write it again."
        ) from err
    if not right:
        raise DataError(
            f"pseudo:{path}: must have a row of scores per path, got arrays that do "
            "not go together. Write it again."
        )
    return arrays


def _bytes(archive):
    return sum(entry.file_size for entry in archive.infolist())


def join(name, arrays, labelled, cache):
    """The labelled source with the other images in its training split.

    Args:
        name: "pseudo:FILE". arrays: of the file.
        labelled: `Source` that the file names. cache: whether it is kept in memory.

    Returns:
        `Source`; training labels are (n, K) float32 probabilities.

    Raises:
        DataError: when classes or images are not there any more.
    """
    classes = tuple(map(str, arrays["classes"]))
    if classes != tuple(labelled.class_names):
        raise DataError(
            f"{name}: must have the classes of {labelled.name}, got {len(classes)} "
            f"({', '.join(classes[:3])}...). Write it again."
        )
    gone = [str(p) for p in np.unique(arrays["paths"]) if not os.path.isfile(p)]
    if gone:
        raise DataError(
            f"{name}: all images must be where they were, got {len(gone)} that are "
            f"not: {', '.join(gone[:SHOWN])}. Bring them back, or write it again."
        )
    train = labelled.split("train")
    rows = np.eye(len(classes), dtype="float32")[train.labels]
    labels = np.concatenate([rows, arrays["scores"].astype("float32")])
    paths = train.records if train.paths is None else train.paths
    paths = np.concatenate([paths, arrays["paths"]])
    records, kept = paths, None
    if cache:
        size = sum(os.path.getsize(path) for path in arrays["paths"])
        files.check_memory("cache", 2 * size)
        added = np.empty(len(arrays["paths"]), object)
        added[:] = [open_bytes(path) for path in arrays["paths"]]
        records, kept = np.concatenate([train.records, added]), paths
    joined = IndexedSplit(records, labels, kept)
    return dataclasses.replace(
        labelled, name=name, splits={**labelled.splits, "train": joined}
    )


def open_bytes(path):
    """What is in a file."""
    with open(path, "rb") as file:
        return file.read()
