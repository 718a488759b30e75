"""Data by name, as batches: `load_data` for training, `load_split` to evaluate."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_vit.classes import numbers
from keras_vit.preprocess import Preprocessing
from keras_vit.training.data import augment as augmentation
from keras_vit.training.data import image_ops
from keras_vit.training.data.batching import Feed
from keras_vit.training.data.info import DataInfo
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.sources import SPLITS, open_source
from keras_vit.training.tasks import task_of
from keras_vit.types import Dataset, Size


def open_data(
    source,
    image_size=None,
    batch_size=64,
    augment="auto",
    seed=0,
    preprocessing=None,
    on_bad_image="refuse",
    verbose=1,
    splits=SPLITS,
    mix=None,
    workers=(0, 1),
    repeats=1,
    cache=False,
    task=None,
):
    """Open a data set and decide how it is fed; arguments as in `load_data`.

    Args:
        splits: that will be read. mix: `Mix`, None for none.
        workers: number of this worker, and of all.
        task: `Task`; None for that of the labels.

    Returns:
        `Source`, `Feed`, `DataInfo`.
    """
    if augment != "auto":
        augmentation.get_preset(augment)
    task = task_of(data=source) if task is None else task
    opened = open_source(source, splits, on_bad_image, verbose, cache, task)
    feed, info = make_feed(
        opened, image_size, batch_size, augment, seed, preprocessing, on_bad_image, mix,
        workers, repeats, task,
    )  # fmt: skip
    return opened, feed, info


def make_feed(
    opened, image_size, batch_size, augment, seed, preprocessing, on_bad_image, mix,
    workers, repeats, task=None,
):  # fmt: skip
    """Decide how the records of a source become batches.

    Args:
        opened: `Source`. task: `Task`. Others: as in `open_data`.

    Returns:
        `Feed`, `DataInfo`.
    """
    if preprocessing is None:
        size = opened.image_size if image_size is None else image_size
        preprocessing = Preprocessing(image_size=sides(size))
    elif image_size is not None:
        preprocessing = preprocessing.resized(sides(image_size))
    augment = opened.augment if augment == "auto" else augment
    classes = len(opened.class_names)
    mix = Mix() if mix is None else mix
    if mix.mixup is None:
        mix = dataclasses.replace(mix, mixup=augmentation.get_preset(augment).mixup)
    feed = Feed(
        preprocessing,
        batch_size,
        augment,
        seed,
        classes,
        mix,
        *workers,
        repeats,
        on_bad_image,
        task=task,
    )
    return feed, _info(opened, feed)


def _info(opened, feed):
    """`DataInfo` of a `Source` that is fed by a `Feed`."""
    return DataInfo(
        source=opened.name,
        class_names=opened.class_names,
        counts={name: split.size for name, split in opened.splits.items()},
        preprocessing=feed.preprocessing,
        channels=image_ops.CHANNELS,
        augment=feed.augment,
        skipped=opened.skipped,
        replaced=feed.bad,
        test_split=opened.test_split,
        notes=opened.notes,
    )


def sides(image_size):
    """(H, W) px of an int or a pair."""
    return (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)


def load_data(
    source: Any,
    image_size: Size | None = None,
    batch_size: int = 64,
    augment: Any = "auto",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
    on_bad_image: str = "refuse",
    verbose: int = 1,
    mixup: float | None = None,
    cutmix: float = 0.0,
    mix_rule: str = "big_vision",
    repeats: int = 1,
    cache: bool = False,
) -> tuple[Dataset, Dataset, DataInfo]:
    """Load images for training and validation as tf.data.

    Args:
        source: "digits"; "folder:PATH" (rules in `keras_vit.image_folder`);
            "tfds:NAME" or "tfds:PATH" of a prepared set, with splits where wanted:
            "tfds:cifar10?train=train[:98%]&validation=train[98%:]"; "vtab:TASK";
            "pseudo:FILE" of `keras_vit.training.pseudo_label`; or
            data of your own (`keras_vit.training.data.array_source`).
        image_size: side in px, or (H, W); None takes that of `preprocessing`,
            else 32 for digits and 224 for the rest.
        batch_size: B, images per step.
        augment: a name or steps, see `keras_vit.training.data.augment`; "auto" is
            "digits" for digits, what fits for vtab, "light" for the rest.
        seed: of order and augmentation.
        preprocessing: `keras_vit.Preprocessing`, for instance
            `model.preprocessing`; None means Google's range, squashed.
        on_bad_image: folders of up to 20,000 images are decoded before, and 1,000
            images of larger ones; "refuse" and "stop" raise for a bad one, "skip"
            lists it in `info.skipped`. One that shows itself later is named in
            `info.replaced`, and the next one takes its place; "stop" raises there
            too.
        verbose: 0 silent, 1 shows progress while files are checked.
        mixup, cutmix, mix_rule: see `keras_vit.training.data.mix.Mix`.
        repeats: so many augmented copies of an image stand in a row.
        cache: whether encoded images are kept in memory.

    Returns:
        Training set, validation set, `DataInfo`. The sets give (images (B, h,
        w, 3) float32 in the model's range, labels (B,) int32); training labels
        are (B, K) float32 where images are mixed or a teacher labelled some; images
        are (B, 2, h, w, 3) where two views are made of each. Each pass over the
        training set is a new epoch; its incomplete last batch is dropped.

    Raises:
        FileNotFoundError: when the folder does not exist.
        DataError: when the data are missing, one-sided or damaged.
        ValueError: for an unknown source or augmentation.
    """
    how = (source, image_size, batch_size, augment, seed, preprocessing)
    mix, wanted = Mix(mixup, cutmix, mix_rule), ("train", "validation")
    opened, feed, info = open_data(
        *how, on_bad_image, verbose, wanted, mix, repeats=repeats, cache=cache
    )
    train = feed.epoch(opened.split("train"))
    return train, feed.in_order(opened.split("validation")), info


def load_split(
    source: Any,
    split: str | None = None,
    image_size: Size | None = None,
    batch_size: int = 64,
    preprocessing: Preprocessing | None = None,
    on_bad_image: str = "refuse",
    verbose: int = 1,
    labels: Sequence[str] | None = None,
) -> tuple[Dataset, DataInfo]:
    """Load one split in order and without augmentation, for evaluation.

    Args:
        source, image_size, batch_size, preprocessing, on_bad_image, verbose:
            as in `load_data`.
        split: "train", "validation" or "test"; None is test where there is one,
            else validation. "all" is every image of a folder.
        labels: K names in the order of a model's outputs, such as `model.labels`;
            images are then numbered by the name of their class, so that a folder
            may hold some of the classes only. The 1,000 of ImageNet are found by
            WordNet number too. None numbers the classes in their own order.

    Returns:
        Data set of (images, labels), every image once, and `DataInfo`.

    Raises:
        As `load_data`, ValueError for a split that does not exist, and DataError
        for a class that is not among the labels.
    """
    opened, feed, info = open_data(
        source,
        image_size,
        batch_size,
        "none",
        0,
        preprocessing,
        on_bad_image,
        verbose,
        None if split is None else (split,),
    )
    data = feed.in_order(opened.split(split or opened.test_split))
    if labels is None:
        return data, info
    order = tf.constant(numbers(info.source, info.class_names, labels), tf.int32)
    outside = feed.task.outside if feed.task.in_image else None

    def renumbered(images, label):
        if outside is None:
            return images, tf.gather(order, label)
        known = label != outside
        numbers = tf.gather(order, tf.where(known, label, 0))
        return images, tf.where(known, numbers, label)

    data = data.map(renumbered)
    return data, dataclasses.replace(info, class_names=tuple(labels))
