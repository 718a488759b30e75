"""Splits of a data set: encoded records, by running index.

A split has a `size`, hands out (counter, image, label) with `counted`, the image
encoded or as pixels, and knows the `names` of images.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_vit.image_folder import SPLITS as SPLITS  # the names of splits, for all


def unnumbered(_, *row):
    """A row as it is, without its place."""
    return row


@dataclasses.dataclass(frozen=True)
class IndexedSplit:
    """Records that can be reached by number: arrays, or paths of files.

    Args:
        records: (n, H, W, C) uint8 pixels, or (n,) strings, paths or contents of
            image files.
        labels: (n,) int32, or (n, K) float32 probabilities.
        paths: (n,) strings, where records are the contents of files.
    """

    records: np.ndarray
    labels: np.ndarray
    paths: np.ndarray | None = None

    @property
    def size(self):
        """Number of images."""
        return len(self.labels)

    def counted(
        self, counters, seed=None, first=0, turn=None, repeats=1, then=unnumbered
    ):
        """Attach a record to each running number.

        Args:
            counters: data set of int64 scalars; number c is image c % n of
                epoch c // n.
            seed: of the order, which differs from epoch to epoch; None keeps
                the images in order.
            first: where the stream begins, when that is not at 0.
            turn: (batch size, positions in a batch that this worker reads), where
                counters of other workers are left out; None reads all.
            repeats: so many counters in a row have the same image.
            then: function of (number, counter, image, label int32), whose results
                are the rows; number is the place of the row. One map that reads
                and prepares costs less than two.

        Returns:
            `tf.data.Dataset` of (counter, image, label), or what `then` makes of it.
        """
        records, labels = tf.constant(self.records), tf.constant(self.labels)
        files = self.records.ndim == 1 and self.paths is None

        def load(number, counter):
            index = self._index(counter // repeats, seed)
            image = tf.io.read_file(records[index]) if files else records[index]
            return then(number, counter, image, labels[index])

        counters = counters.enumerate()
        return counters.map(load, tf.data.AUTOTUNE, deterministic=True)

    def _index(self, number, seed):
        index = number % self.size
        if seed is None:
            return index
        key = tf.stack([tf.constant(seed, tf.int64), number // self.size])
        return tf.random.experimental.index_shuffle(index, key, self.size - 1)

    def names(self, counters, seed=None, repeats=1):
        """What the images behind counters are called: paths, or their numbers."""
        numbers = [tf.constant(c // repeats, tf.int64) for c in counters]
        places = [int(self._index(number, seed)) for number in numbers]
        if self.records.ndim > 1:
            return [f"image {place} of {self.size}" for place in places]
        known = self.records if self.paths is None else self.paths
        return [str(known[place]) for place in places]

    def kept(self, numbers):
        """The split with only the images of these numbers."""
        paths = None if self.paths is None else self.paths[numbers]
        return IndexedSplit(self.records[numbers], self.labels[numbers], paths)


@dataclasses.dataclass(frozen=True)
class SequentialSplit:
    """Records that are read one after another: TFRecords, or a tf.data of the user.

    Args:
        open: seed or None -> `tf.data.Dataset` of (record, label), each once.
        size: number of images.
        buffer: records among which the next one is drawn when shuffling.
        cache: whether records stay in memory after the first pass, undecoded.
        files: function that lists the file names in order, where they are known.
    """

    open: Callable
    size: int
    buffer: int = 10_000
    cache: bool = False
    files: Callable | None = None

    def counted(
        self, counters, seed=None, first=0, turn=None, repeats=1, then=unnumbered
    ):
        """Attach a record to each running number, see `IndexedSplit.counted`.

        Records cannot be reached by number: those before `first`, and those of other
        workers, are read again and passed over, undecoded.
        """
        records = self.open(None if self.cache else seed)
        if self.cache:
            records = records.cache()
        if seed is not None:
            buffer = self.size if self.cache else min(self.size, self.buffer)
            records = records.shuffle(buffer, seed=seed)
        records = records.repeat().skip(first // repeats)
        if repeats > 1:
            records = records.flat_map(
                lambda *row: tf.data.Dataset.from_tensors(row).repeat(repeats)
            )
            records = records.skip(first % repeats)
        if turn is not None:
            size, places = turn
            records = records.enumerate(first).filter(
                lambda c, _: tf.reduce_any(c % size == places)
            )
            records = records.map(lambda _, row: row)
        return tf.data.Dataset.zip(counters.enumerate(), records).map(
            lambda place, row: then(*place, row[0], tf.cast(row[1], tf.int32)),
            tf.data.AUTOTUNE,
            deterministic=True,
        )

    def names(self, counters, seed=None, repeats=1):
        """What the records of counters are called: their place in the stream."""
        numbers = [counter // repeats for counter in counters]
        return [f"record {n % self.size} of epoch {n // self.size}" for n in numbers]
