"""From records to batches, with tf.data.

Example c of a training stream is a function of (seed, c) alone: which image it
is, and every random choice about it. A stream can therefore start at any step,
and be dealt out to any number of devices.
"""

import dataclasses
import functools

import tensorflow as tf

from keras_vit.errors import DataError
from keras_vit.preprocess import Preprocessing
from keras_vit.private_keras import print_msg
from keras_vit.training.data import augment as augmentation
from keras_vit.training.data import image_ops, moved_targets
from keras_vit.training.data.bad_images import Patience, fill_gaps, then_raise
from keras_vit.training.data.mix import Mix, shares
from keras_vit.training.tasks import CLASSIFICATION, Task

SHOWN = 3  # names in an error message
EPOCHS = 2**20  # epoch numbers a reshuffled epoch is drawn from


def steps_per_epoch(images, batch_size):
    """Whole batches of the training images.

    Raises:
        ValueError: when they do not fill one.
    """
    if images < batch_size:
        raise ValueError(
            f"batch_size: must be at most {images}, the number of training images, got "
            f"{batch_size}. Use batch_size={images}."
        )
    return images // batch_size


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
        repeats: so many examples in a row are the same image, each augmented in its
            own way. An epoch has as many examples as the split has images, of a
            share 1 / repeats of them; epochs go through all of them in turn.
        on_bad_image: what happens to an image that cannot be decoded in the middle
            of training, see `load_data`.
        bad: names of these images; grows while training.
        in_bytes: whether training images that are whole levels stay uint8, 0 to 255:
            a quarter of the memory, and of the way to a device, which then brings
            them to the model's range. Mixed, warped and erased ones never are.
        task: `Task`; targets that live in the image are moved with it.

    Source:
        Repeated augmentation: Hoffer et al. 2019, arXiv:1901.09335.
    """

    preprocessing: Preprocessing
    batch_size: int
    augment: str
    seed: int
    classes: int = 0
    mix: Mix = Mix(0.0)
    worker: int = 0
    workers: int = 1
    repeats: int = 1
    on_bad_image: str = "refuse"
    bad: list = dataclasses.field(default_factory=list, compare=False)
    in_bytes: bool = False
    task: Task = CLASSIFICATION

    def __post_init__(self):
        preset = augmentation.get_preset(self.augment)
        if preset.others and self.mix:
            raise ValueError(
                "mixup, cutmix: do not go with two views of each image, got "
                f"augment={self.augment!r}. Pass mixup=0 and cutmix=0."
            )
        if self.task.in_image:
            moved_targets.check(self.task, self.augment, self.mix)
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
            Data set of (images (B, h, w, 3) float32, or uint8 if `in_bytes`, labels
            (B,) int32); with several workers, of this one's part of B. Of an
            augmentation with two views, images are (B, 2, h, w, 3). It raises
            `DataError`, wrapped by tf.data, where no image can be read any more, see
            `Patience`.
        """
        read, _, _ = self._shares()
        patience = Patience(start, len(read))
        steps = tf.data.Dataset.range(start, tf.int64.max // self.batch_size)
        steps = patience.while_it_lasts(steps)
        places = tf.constant(read, tf.int64)
        counters = steps.flat_map(
            lambda step: tf.data.Dataset.from_tensor_slices(
                step * self.batch_size + places
            )
        )
        first = start * self.batch_size
        return self._augmented(split, counters, first, patience)

    def names(self, split, step):
        """What the images of a training batch are called: list of B texts."""
        counters = range(step * self.batch_size, (step + 1) * self.batch_size)
        return split.names(counters, self.seed, self.repeats)

    def epoch(self, split):
        """Training batches of one epoch; each pass over it is another epoch.

        An incomplete last batch is dropped.
        """
        numbers = tf.data.Dataset.random(self.seed, rerandomize_each_iteration=True)
        size, length = split.size, self.batches(split)
        counters = numbers.take(1).flat_map(
            # Twice as many as needed, to take the place of bad ones.
            lambda r: tf.data.Dataset.range(r % EPOCHS * size, (r % EPOCHS + 2) * size)
        )
        batches = self._augmented(split, counters).take(length)
        return batches.apply(tf.data.experimental.assert_cardinality(length))

    def batches(self, split):
        """Steps of one epoch.

        Raises:
            ValueError: when the split does not fill one batch.
        """
        return steps_per_epoch(split.size, self.batch_size)

    def in_order(self, split):
        """Every image once, in order; the last batch may be short.

        Without chance, but for an augmentation with two views: those of an image are
        the same each time.
        """
        preset = augmentation.get_preset(self.augment)

        def prepared(number, counter, image, label):
            if preset.others:
                seed = tf.stack([tf.constant(self.seed, tf.int64), counter])
                views, _ = augmentation.draw(image, seed, preset, self.preprocessing)
                return image_ops.to_range(views, self.preprocessing.range), label
            label = self._moved.prepare(label)
            image = image_ops.prepare(image_ops.decode(image), self.preprocessing)
            size = self.preprocessing.image_size
            image = tf.ensure_shape(image, (*size, image_ops.CHANNELS))
            return image_ops.to_range(image, self.preprocessing.range), label

        images = split.counted(tf.data.Dataset.range(split.size), then=prepared)
        if self.on_bad_image == "skip":
            images = images.ignore_errors(log_warning=True)
        return images.batch(self.batch_size).prefetch(tf.data.AUTOTUNE)

    @property
    def _moved(self):
        """What is done to targets while images are augmented."""
        if not self.task.in_image:
            return moved_targets.Left()
        return moved_targets.Moved(self.task, self.augment, self.preprocessing)

    def _shares(self):
        partners = self.mix.partners(self.batch_size) if self.mix else None
        return shares(self.batch_size, partners, self.worker, self.workers)

    def _augmented(self, split, counters, first=0, patience=None):
        preset = augmentation.get_preset(self.augment)
        layer = augmentation.keras_cv_layer(self.augment, self.seed)
        read, _, _ = self._shares()
        moved = self._moved

        def one(number, counter, image, label):
            seed = tf.stack([tf.constant(self.seed, tf.int64), counter])
            image, numbers = augmentation.draw(image, seed, preset, self.preprocessing)
            return number, counter, image, numbers, moved.draw(label, seed)

        def batch(lag, counters, images, numbers, labels):
            images = augmentation.change(images, numbers, preset)
            labels = moved.change(labels, numbers)
            if layer is not None:
                images = layer(images, training=True)
            whole = self.in_bytes and not self.mix and images.dtype == tf.uint8
            if not (preset.erase or whole):
                images = image_ops.to_range(images, self.preprocessing.range)
            row = tf.argmin(lag)  # one that is in its own place
            start = counters[row] - tf.gather(read, row)
            return self._mixed(images, labels, start)

        turn = None if self.workers == 1 else (self.batch_size, read)
        images = split.counted(counters, self.seed, first, turn, self.repeats, one)
        found = functools.partial(self._found, split, patience)
        batches = fill_gaps(images, len(read), found)
        if patience is not None:
            refuse = functools.partial(self._refuse, split, patience)
            batches = then_raise(batches, refuse)
        batches = batches.map(batch, tf.data.AUTOTUNE, deterministic=True)
        return batches.prefetch(tf.data.AUTOTUNE)

    def _refuse(self, split, patience):
        """Say that no image can be read any more."""
        names = ", ".join(self.names(split, patience.step)[:SHOWN])
        raise DataError(
            f"images: some must be readable, got {patience.limit} in a row that are "
            f"not, near {names}. Bring their folder back; the same call then goes on "
            "from its last state."
        )

    def _found(self, split, patience, numbers, copies, counters):
        """Take note of the images that are missing before these, see `fill_gaps`."""
        if patience is not None:
            patience.good = int(numbers[-1])
        if not (copies.numpy() > 1).any():
            return
        rows = zip(numbers.numpy(), copies.numpy(), counters.numpy(), strict=True)
        counters = [
            self._before(int(number), int(counter), back)
            for number, count, counter in rows
            for back in range(int(count) - 1, 0, -1)
        ]
        names = split.names(counters, self.seed, self.repeats)
        self.bad.extend(names)
        shown = ", ".join(names)
        if self.on_bad_image == "stop":
            raise DataError(
                f"images: all must be readable, got what cannot be decoded: {shown}. "
                "Remove it, or pass on_bad_image='skip'."
            )
        print_msg(
            f"\nimages: cannot decode {shown}; the next one takes its place "
            f"({len(self.bad)} so far)"
        )

    def _before(self, number, counter, back):
        """The counter that stands so many rows before one in this worker's stream."""
        if self.workers == 1:
            return counter - back
        read, _, _ = self._shares()
        steps = (number - back) // len(read) - number // len(read)
        start = (counter // self.batch_size + steps) * self.batch_size
        return start + int(read[(number - back) % len(read)])

    def _mixed(self, images, labels, first):
        """Mix what was read to what this worker owns; `first` is the batch's own."""
        if not self.mix:
            return images, labels
        _, own, other = self._shares()
        soft = labels.shape.rank == 2  # a teacher's
        targets = labels if soft else tf.one_hot(labels, self.classes)
        seed = tf.stack([tf.constant(self.seed, tf.int64), first])
        pairs = [tf.gather(x, rows) for x in (images, targets) for rows in (own, other)]
        return self.mix(*pairs, seed)
