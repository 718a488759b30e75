"""Undecodable images in the middle of a stream: the next good one takes their place.

An element whose images cannot be decoded is an error of tf.data, and gone. Elements are
therefore numbered before: a gap in the numbers is filled with copies of what follows,
and every batch keeps its place.

Where all images are bad, as when their folder is gone, nothing follows; a stream then
ends, and says so.
"""

import contextlib
import re

import tensorflow as tf

from keras_vit.errors import DataError


class Patience:
    """How many images in a row may be bad before a stream ends.

    Args:
        start: its first step. size: images of a step.
    """

    IMAGES, STEPS = 1_000, 10  # bad ones in a row, whichever is more

    def __init__(self, start, size):
        self.start, self.size = start, size
        self.limit = max(self.IMAGES, self.STEPS * size)
        self.step = start  # that was read last
        self.good = -1  # number of the last good image

    def lasts(self, step):
        """Whether this step should be read."""
        self.step = int(step)
        return (self.step - self.start) * self.size - self.good <= self.limit

    def while_it_lasts(self, steps):
        """A data set of steps, which ends when patience does."""
        return steps.take_while(
            lambda step: tf.ensure_shape(
                tf.py_function(self.lasts, [step], tf.bool), ()
            )
        )


def then_raise(batches, refuse):
    """A data set behind whose end `refuse` is called, which raises."""
    spec = batches.element_spec

    def fail(_):
        with tf.control_dependencies([tf.py_function(refuse, [], [])]):
            return tuple(tf.zeros(part.shape, part.dtype) for part in spec)

    return batches.concatenate(tf.data.Dataset.range(1).map(fail))


@contextlib.contextmanager
def plain_errors():
    """Raise the `DataError` itself that tf.data wraps in an error of its own."""
    try:
        yield
    except tf.errors.OpError as err:
        said = re.search("DataError: (.+)", str(err))
        if said is None:
            raise
        raise DataError(said[1]) from err


def fill_gaps(rows, size, found):
    """Batch rows; copies take the place of rows that end in an error.

    Args:
        rows: data set of (number, *tensors), some of which raise an error; number is
            the place of the row among all.
        size: of a batch.
        found: function of (numbers, copies, first tensors) of the rows of a batch;
            copies (n,) is 1 for a row before which none is missing, else 1 more
            than there are. May raise.

    Returns:
        Data set of (lag (size,) int64, *batches); lag is 0 for a good row, else how
        many places the copy stands before its own.
    """

    def filled(expected, batch):
        numbers, *tensors = batch
        copies = numbers - tf.concat([[expected - 1], numbers[:-1]], axis=0)

        noted = tf.py_function(found, (numbers, copies, tensors[0]), [])

        def copied():
            lag = tf.repeat(numbers, copies) - tf.range(expected, numbers[-1] + 1)
            return lag, *(tf.repeat(tensor, copies, axis=0) for tensor in tensors)

        missing = numbers[-1] - expected + 1 > tf.size(numbers, tf.int64)
        whole = (tf.zeros_like(numbers), *tensors)
        with tf.control_dependencies([noted]):
            return numbers[-1] + 1, tf.cond(missing, copied, lambda: whole)

    rows = rows.ignore_errors().batch(size).scan(tf.constant(0, tf.int64), filled)
    return rows.rebatch(size, drop_remainder=True)
