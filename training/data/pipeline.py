"""From records to batches, with tf.data.

Example c of a training stream is a function of (seed, c) alone: which image it
is, and every random choice about it. A stream can therefore start at any step,
and be dealt out to any number of devices.
"""

import dataclasses

import tensorflow as tf

from keras_vit.preprocess import Preprocessing
from keras_vit.training.data import augment as augmentation
from keras_vit.training.data import ops
from keras_vit.training.data.classes import numbers
from keras_vit.training.data.info import DataInfo
from keras_vit.training.data.sources import SPLITS, open_source

EPOCHS = 2**20  # epoch numbers a reshuffled epoch is drawn from


@dataclasses.dataclass(frozen=True)
class Feed:
    """How the records of a split become batches.

    Args:
        preprocessing: size and range of the model's input.
        batch_size: B, images of one step on all devices together.
        augment: name, see `augment.PRESETS`.
        seed: of order and augmentation.
    """

    preprocessing: Preprocessing
    batch_size: int
    augment: str
    seed: int

    def __post_init__(self):
        augmentation.get_preset(self.augment)
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(
                f"batch_size: must be a whole number above 0, got {self.batch_size!r}."
            )

    def stream(self, split, start=0):
        """Training batches without end.

        Args:
            split: of a `Source`. start: step of the first batch, 0-based.

        Returns:
            Data set of (images (B, h, w, 3) float32, labels (B,) int32).
        """
        first = start * self.batch_size
        counters = tf.data.Dataset.range(first, tf.int64.max)
        return self._augmented(split, counters, first)

    def epoch(self, split):
        """Training batches of one epoch; each pass over it is another epoch.

        An incomplete last batch is dropped.
        """
        numbers = tf.data.Dataset.random(self.seed, rerandomize_each_iteration=True)
        size, length = split.size, self.batches(split)
        counters = numbers.take(1).flat_map(
            lambda r: tf.data.Dataset.range(r % EPOCHS * size, (r % EPOCHS + 1) * size)
        )
        batches = self._augmented(split, counters).take(length)
        return batches.apply(tf.data.experimental.assert_cardinality(length))

    def batches(self, split):
        """Steps of one epoch.

        Raises:
            ValueError: when the split does not fill one batch.
        """
        if split.size < self.batch_size:
            raise ValueError(
                f"batch_size: must be at most {split.size}, the number of training "
                f"images, got {self.batch_size}. Use batch_size={split.size}."
            )
        return split.size // self.batch_size

    def in_order(self, split):
        """Every image once, in order, without chance; the last batch may be short."""

        def prepared(_, image, label):
            image = ops.prepare(ops.decode(image), self.preprocessing)
            size = self.preprocessing.image_size
            image = tf.ensure_shape(image, (*size, ops.CHANNELS))
            return ops.to_range(image, self.preprocessing.mode), label

        counters = tf.data.Dataset.range(split.size)
        batches = (
            split.counted(counters)
            .map(prepared, tf.data.AUTOTUNE, deterministic=True)
            .batch(self.batch_size)
        )
        return batches.prefetch(tf.data.AUTOTUNE)

    def _augmented(self, split, counters, first=0):
        preset = augmentation.get_preset(self.augment)
        layer = augmentation.keras_cv_layer(self.augment, self.seed)

        def one(counter, image, label):
            seed = tf.stack([tf.constant(self.seed, tf.int64), counter])
            return *augmentation.draw(image, seed, preset, self.preprocessing), label

        def batch(images, numbers, labels):
            images = augmentation.change(images, numbers, preset)
            if layer is not None:
                images = layer(images, training=True)
            return ops.to_range(images, self.preprocessing.mode), labels

        batches = (
            split.counted(counters, self.seed, first)
            .map(one, tf.data.AUTOTUNE, deterministic=True)
            .batch(self.batch_size, drop_remainder=True)
            .map(batch, tf.data.AUTOTUNE, deterministic=True)
        )
        return batches.prefetch(tf.data.AUTOTUNE)


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
):
    """Open a data set and decide how it is fed; arguments as in `load_data`.

    Returns:
        `Source`, `Feed`, `DataInfo`.
    """
    if augment != "auto":
        augmentation.get_preset(augment)
    opened = open_source(source, splits, on_bad_image, verbose)
    if preprocessing is None:
        size = opened.image_size if image_size is None else image_size
        preprocessing = Preprocessing(image_size=sides(size))
    elif image_size is not None:
        preprocessing = preprocessing.resized(sides(image_size))
    augment = opened.augment if augment == "auto" else augment
    feed = Feed(preprocessing, batch_size, augment, seed)
    info = DataInfo(
        source=str(source),
        class_names=opened.class_names,
        counts={name: split.size for name, split in opened.splits.items()},
        preprocessing=preprocessing,
        channels=ops.CHANNELS,
        augment=augment,
        skipped=opened.skipped,
        test_split=opened.test_split,
    )
    return opened, feed, info


def sides(image_size):
    """(H, W) px of an int or a pair."""
    return (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)


def load_data(
    source,
    image_size=None,
    batch_size=64,
    augment="auto",
    seed=0,
    preprocessing=None,
    on_bad_image="refuse",
    verbose=1,
):
    """Load images for training and validation as tf.data.

    Args:
        source: "digits", "folder:PATH" (layouts and rules in
            `keras_vit.training.data.folder`) or "tfds:NAME".
        image_size: side in px, or (H, W); None takes that of `preprocessing`,
            else 32 for digits and 224 for the rest.
        batch_size: B, images per step.
        augment: "none", "light" (random crop and flip), "digits" (shift, turn,
            zoom, slant), "keras_cv:randaugment" or "keras_cv:augmix" (slow:
            9 and 16 ms per 224 px image); "auto" is "digits" for digits and
            "light" for the rest.
        seed: of order and augmentation.
        preprocessing: `keras_vit.Preprocessing`, for instance
            `model.preprocessing`; None means Google's range, squashed.
        on_bad_image: "refuse" raises when an image of a folder cannot be
            decoded, "skip" leaves it out and lists it in `info.skipped`.
        verbose: 0 silent, 1 shows progress while files are checked.

    Returns:
        Training set, validation set, `DataInfo`. The sets give (images (B, h,
        w, 3) float32 in the model's range, labels (B,) int32). Each pass over
        the training set is a new epoch; its incomplete last batch is dropped.

    Raises:
        FileNotFoundError: when the folder does not exist.
        DataError: when the data are missing, one-sided or damaged.
        ValueError: for an unknown source or augmentation.
    """
    opened, feed, info = open_data(
        source,
        image_size,
        batch_size,
        augment,
        seed,
        preprocessing,
        on_bad_image,
        verbose,
        ("train", "validation"),
    )
    train = feed.epoch(opened.split("train"))
    return train, feed.in_order(opened.split("validation")), info


def load_split(
    source,
    split=None,
    image_size=None,
    batch_size=64,
    preprocessing=None,
    on_bad_image="refuse",
    verbose=1,
    labels=None,
):
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
    data = data.map(lambda images, label: (images, tf.gather(order, label)))
    return data, dataclasses.replace(info, class_names=tuple(labels))
