"""The 19 tasks of VTAB-1k: 800 images to train, 200 to validate, the full test set.

    load_data("vtab:cifar100")
    load_data("vtab:cifar100?train=train800val200")    for the final score

Source: Zhai et al. 2019, arXiv:1910.04867; splits and labels of the structured tasks as
in its code, task_adaptation (data/). Which tasks are not flipped or cropped:
Kolesnikov et al. 2020, arXiv:1912.11370 (BiT).
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_vit.choices import did_you_mean
from keras_vit.errors import DataError
from keras_vit.training.data import tfds_source


class Task(NamedTuple):
    """One row of TASKS."""

    dataset: str  # of TFDS
    validation: tuple  # split that it is cut from, and where it begins, percent
    test: str
    label: str | Callable = "label"  # feature, or function of a record
    classes: int | None = None  # of a function
    flip: bool = True
    crop: bool = True
    read: Callable | None = None  # record -> pixels, where they need more than decoding


def _bins(distance, edges):
    """Number of the last edge below a distance."""
    return tf.reduce_sum(tf.cast(tf.constant(edges[1:]) < distance, tf.int32))


def count_objects(row):
    """Clevr: 3 to 10 things."""
    return tf.size(row["objects"]["size"]) - 3


def nearest_object(row):
    """Clevr: distance of the nearest thing, six bins."""
    depth = tf.reduce_min(row["objects"]["pixel_coords"][:, 2])
    return _bins(depth, [0.0, 8.0, 8.5, 9.0, 9.5, 10.0])


def nearest_vehicle(row):
    """KITTI: nearest car, van or truck: three bins of metres, and none."""
    depth = row["objects"]["location"][:, 2]
    vehicle = row["objects"]["type"] < 3
    return _bins(
        tf.reduce_min(tf.where(vehicle, depth, 1000.0)), [-100.0, 8.0, 20.0, 999.0]
    )


def sixteen(key, values):
    """dSprites: neighbouring values of a feature as one of 16 classes."""
    return lambda row: tf.cast(row[key] * 16 // values, tf.int32)


TRAIN_IMAGES, VALIDATION_IMAGES = 800, 200
OWN, HELD = ("validation", 0), ("train", 90)
SIXTY, EIGHTY = ("train", 60), ("train", 80)
X, ORIENTATION = "label_x_position", "label_orientation"
SPRITES = {"classes": 16, "flip": False, "read": tfds_source.bright("image")}
TASKS = {  # fmt: off
    "caltech101": Task("caltech101", HELD, "test"),
    "cifar100": Task("cifar100", HELD, "test"),
    "dtd": Task("dtd", OWN, "test"),
    "flowers102": Task("oxford_flowers102", OWN, "test"),
    "pets": Task("oxford_iiit_pet", EIGHTY, "test"),
    "sun397": Task("sun397/tfds", OWN, "test"),
    "svhn": Task("svhn_cropped", HELD, "test"),
    "camelyon": Task("patch_camelyon", OWN, "test"),
    "eurosat": Task("eurosat/rgb", SIXTY, "train[80%:]"),
    "resisc45": Task("resisc45", SIXTY, "train[80%:]"),
    "retinopathy": Task("diabetic_retinopathy_detection/btgraham-300", OWN, "test"),
    "clevr_count": Task("clevr", HELD, "validation", count_objects, 8, crop=False),
    "clevr_distance": Task("clevr", HELD, "validation", nearest_object, 6, crop=False),
    "dmlab": Task("dmlab", OWN, "test", crop=False),
    "kitti": Task("kitti", OWN, "test", nearest_vehicle, 4, crop=False),
    "dsprites_location": Task(
        "dsprites", EIGHTY, "train[90%:]", sixteen(X, 32), crop=False, **SPRITES
    ),
    "dsprites_orientation": Task(
        "dsprites", EIGHTY, "train[90%:]", sixteen(ORIENTATION, 40), **SPRITES
    ),
    "norb_azimuth": Task(
        "smallnorb", ("test", 0), "test[50%:]", "label_azimuth", flip=False
    ),
    "norb_elevation": Task("smallnorb", ("test", 0), "test[50%:]", "label_elevation"),
}  # fmt: on
AUGMENT = {  # (crop, flip) -> augmentation
    (True, True): "light",
    (True, False): "inception_crop(0.3)",
    (False, True): "flip",
    (False, False): "none",
}


def splits_of(task, builder):
    """Name of a VTAB split -> TFDS split expression."""
    base, percent = task.validation
    start = 0
    if percent:
        start = builder.info.splits[f"{base}[:{percent}%]"].num_examples
    held = f"{base}[{start}:{start + VALIDATION_IMAGES}]"
    train = f"train[:{TRAIN_IMAGES}]"
    return {
        "train800": train,
        "val200": held,
        "train800val200": f"{train}+{held}",
        "test": task.test,
    }


def open_vtab(name, rest, cache=False):
    """One task: (class names, splits, augmentation that fits).

    Args:
        name: as it was asked for. rest: of it after "vtab:".
        cache: whether records stay in memory.
    """
    key, _, query = rest.partition("?")
    if key not in TASKS:
        hint = did_you_mean(key, TASKS, start="vtab:")
        raise DataError(
            f"data: VTAB has the tasks {', '.join(TASKS)}, got {name!r}.{hint}"
        )
    task = TASKS[key]
    builder = tfds_source.open_builder(name, task.dataset)
    known = splits_of(task, builder)
    asked = {"train": "train800", "validation": "val200", "test": "test"}
    asked |= tfds_source.read_query(name, query)
    for value in asked.values():
        if value not in known:
            raise DataError(
                f"{name}: has the splits {', '.join(known)}, got {value!r}. "
                f"Write 'vtab:{key}?train=train800val200', for example."
            )
    splits = {
        split: tfds_source.make_split(
            name, builder, known[value], task.label, read=task.read, cache=cache
        )
        for split, value in asked.items()
    }
    names = (
        map(str, range(task.classes))
        if task.classes
        else builder.info.features[task.label].names
    )
    return tuple(names), splits, AUGMENT[task.crop, task.flip]
