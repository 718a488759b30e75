"""Bad images in the middle of a stream: the next good one takes their place.

An element whose images cannot be decoded is an error of tf.data, and gone. Elements are
therefore numbered before: a gap in the numbers is filled with copies of what follows,
and every batch keeps its place.
"""

import tensorflow as tf


def fill_gaps(rows, size, found):
    """Batch rows; copies take the place of rows that end in an error.

    Args:
        rows: data set of (number, *tensors), some of which raise an error; number is
            the place of the row among all.
        size: of a batch.
        found: function of (numbers, copies, first tensors) that takes note of the
            rows that are missing; copies (n,) is 1 for a row before which none is,
            else 1 more than there are. May raise.

    Returns:
        Data set of (lag (size,) int64, *batches); lag is 0 for a good row, else how
        many places the copy stands before its own.
    """

    def filled(expected, batch):
        numbers, *tensors = batch
        copies = numbers - tf.concat([[expected - 1], numbers[:-1]], axis=0)

        def copied():
            noted = tf.py_function(found, (numbers, copies, tensors[0]), [])
            with tf.control_dependencies([noted]):
                places = tf.range(expected, numbers[-1] + 1)
            lag = tf.repeat(numbers, copies) - places
            return lag, *(tf.repeat(tensor, copies, axis=0) for tensor in tensors)

        missing = numbers[-1] - expected + 1 > tf.size(numbers, tf.int64)
        whole = (tf.zeros_like(numbers), *tensors)
        return numbers[-1] + 1, tf.cond(missing, copied, lambda: whole)

    rows = rows.ignore_errors().batch(size).scan(tf.constant(0, tf.int64), filled)
    return rows.rebatch(size, drop_remainder=True)
