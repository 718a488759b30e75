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
from keras_vit.training.data.mix import Mix, shares

EPOCHS = 2**20  # epoch numbers a reshuffled epoch is drawn from


@dataclasses.dataclass(frozen=True)
class Feed:
    """How the records of a split become batches.

    Args:
        preprocessing: size and range of the model's input.
        batch_size: B, images of one step on all devices together.
        augment: name, see `augment.PRESETS`.
        seed: of order and augmentation.
        classes: K, needed for a mix alone.
        mix: `Mix`. With one, training labels are (B, K) float32.
        worker, workers: which part of each batch this process feeds, of how many.
            All parts together are the batch of a single worker.
    """

    preprocessing: Preprocessing
    batch_size: int
    augment: str
    seed: int
    classes: int = 0
    mix: Mix = Mix(0.0)
    worker: int = 0
    workers: int = 1

    def __post_init__(self):
        augmentation.get_preset(self.augment)
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(
                f"batch_size: must be a whole number above 0, got {self.batch_size!r}."
            )
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size: must be a multiple of the {self.workers} workers, got "
                f"{self.batch_size}. Use {self.workers * self.batch_size}, for example."
            )

    def stream(self, split, start=0):
        """Training batches without end.

        Args:
            split: of a `Source`. start: step of the first batch, 0-based.

        Returns:
            Data set of (images (B, h, w, 3) float32, labels (B,) int32); with
            several workers, of this one's part of B.
        """
        read, _, _ = self._shares()
        steps = tf.data.Dataset.range(start, tf.int64.max // self.batch_size)
        places = tf.constant(read, tf.int64)
        counters = steps.flat_map(
            lambda step: tf.data.Dataset.from_tensor_slices(
                step * self.batch_size + places
            )
        )
        first = start * self.batch_size
        return self._augmented(split, counters, first)

    def names(self, split, step):
        """What the images of a training batch are called: list of B texts."""
        counters = range(step * self.batch_size, (step + 1) * self.batch_size)
        return split.names(counters, self.seed)

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

    def _shares(self):
        partners = self.mix.partners(self.batch_size) if self.mix else None
        return shares(self.batch_size, partners, self.worker, self.workers)

    def _augmented(self, split, counters, first=0):
        preset = augmentation.get_preset(self.augment)
        layer = augmentation.keras_cv_layer(self.augment, self.seed)
        read, _, _ = self._shares()

        def one(counter, image, label):
            seed = tf.stack([tf.constant(self.seed, tf.int64), counter])
            image, numbers = augmentation.draw(image, seed, preset, self.preprocessing)
            return counter, image, numbers, label

        def batch(counters, images, numbers, labels):
            images = augmentation.change(images, numbers, preset)
            if layer is not None:
                images = layer(images, training=True)
            if not preset.erase:
                images = ops.to_range(images, self.preprocessing.mode)
            return self._mixed(images, labels, counters[0] - read[0])

        turn = None if self.workers == 1 else (self.batch_size, read)
        batches = (
            split.counted(counters, self.seed, first, turn)
            .map(one, tf.data.AUTOTUNE, deterministic=True)
            .batch(len(read), drop_remainder=True)
            .map(batch, tf.data.AUTOTUNE, deterministic=True)
        )
        return batches.prefetch(tf.data.AUTOTUNE)

    def _mixed(self, images, labels, first):
        """Mix what was read to what this worker owns; `first` is the batch's own."""
        if not self.mix:
            return images, labels
        _, own, other = self._shares()
        targets = tf.one_hot(labels, self.classes)
        seed = tf.stack([tf.constant(self.seed, tf.int64), first])
        pairs = [tf.gather(x, rows) for x in (images, targets) for rows in (own, other)]
        return self.mix(*pairs, seed)
