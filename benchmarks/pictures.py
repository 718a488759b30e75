"""Small images as arrays, for the scripts beside this one."""

import dataclasses

import numpy as np
from PIL import Image

from keras_vit.training.data import check_folder


@dataclasses.dataclass(frozen=True)
class Pictures:
    """All images of a folder.

    Args:
        splits: "train", "validation" and "test" -> ((n, S, S, 3) uint8, (n,) int32),
            as `keras_vit.training` splits a folder.
        class_names: in the order of the labels.
    """

    splits: dict
    class_names: tuple

    def data(self, images, labels):
        """What `training.fit` takes: these to learn from, ours to validate."""
        held = self.splits["validation"]
        names = self.class_names
        return {"train": (images, labels), "validation": held, "class_names": names}


def read_pictures(path, size):
    """Read a folder of images in folders of their classes, shrunk to a square.

    Args:
        path: see `keras_vit.training.data.check_folder`. size: side S in px.

    Returns:
        `Pictures`.
    """
    names, listed = check_folder.list_splits(path)
    splits = {}
    for split, rows in listed.items():
        images = np.stack([_read(file, size) for file, _ in rows])
        splits[split] = images, np.array([label for _, label in rows], "int32")
    return Pictures(splits, names)


def _read(file, size):
    with Image.open(file) as image:
        shrunk = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(shrunk)
