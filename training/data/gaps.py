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
        found: function of (number, how many rows before it were bad, first tensor)
            that takes note of them; may raise.

    Returns:
        Data set of (lag (size,) int64, *batches); lag is 0 for a good row, else how
        many places the copy stands before its own.
    """

    def filled(expected, row):
        number, *tensors = row
        copies = number - expected + 1

        def copied():
            noted = tf.py_function(found, (number, copies - 1, tensors[0]), [])
            with tf.control_dependencies([noted]):
                lag = tf.range(copies - 1, -1, -1, dtype=tf.int64)
            return lag, *(tf.repeat(tensor[None], copies, axis=0) for tensor in tensors)

        def alone():
            return tf.zeros((1,), tf.int64), *(tensor[None] for tensor in tensors)

        return number + 1, tf.cond(copies > 1, copied, alone)

    rows = rows.ignore_errors().scan(tf.constant(0, tf.int64), filled)
    return rows.rebatch(size, drop_remainder=True)
