"""Gradient accumulation: a batch is cut into micro-batches, which saves memory."""

import tensorflow as tf
from keras import tree


def sum_pieces(function, batch, count):
    """Accumulate the gradients of a batch over its micro-batches.

    Gradients are summed in float32, whatever they were computed in: with the same
    micro-batches, the number of devices they are dealt out to makes no difference.

    Args:
        function: `tf.function` of the elements of `batch`, which returns gradients
            and a nest of what was seen.
        batch: tuple of nested tensors (b, ...) or None.
        count: of micro-batches; divides b.

    Returns:
        Sums of the gradients, float32 or None; and what was seen, scalars averaged
        over the micro-batches, the rest put together again, (b, ...).
    """
    cut = _each(lambda tensor: _cut(tensor, count), batch)

    def piece(k):
        return function(*_each(lambda tensor: tensor[k], cut))

    specs = _each(lambda tensor: tf.TensorSpec(tensor.shape[1:], tensor.dtype), cut)
    shapes = function.get_concrete_function(*specs).structured_outputs
    kept = [k for k, gradient in enumerate(shapes[0]) if gradient is not None]
    seen = tree.flatten(shapes[1])
    sums = [tf.zeros(shapes[0][k].shape, tf.float32) for k in kept]
    rows = [_empty(tensor, count) for tensor in seen]

    def body(k, sums, rows):
        found, more = piece(k)
        sums = [
            total + tf.cast(tf.convert_to_tensor(found[place]), tf.float32)
            for total, place in zip(sums, kept, strict=True)
        ]
        more = tree.flatten(more)
        rows = [row.write(k, value) for row, value in zip(rows, more, strict=True)]
        return k + 1, sums, rows

    _, sums, rows = tf.while_loop(
        lambda k, *_: k < count, body, (0, sums, rows), parallel_iterations=1
    )
    found = [None] * len(shapes[0])
    for place, total in zip(kept, sums, strict=True):
        found[place] = total
    joined = [_join(row, tensor) for row, tensor in zip(rows, seen, strict=True)]
    return found, tree.pack_sequence_as(shapes[1], joined)


def _cut(tensor, count):
    """(b, ...) -> (count, b / count, ...)."""
    return tf.reshape(tensor, (count, -1, *tensor.shape[1:]))


def _each(change, batch):
    """The same nest, every tensor changed; None stays."""
    return tree.map_structure(lambda t: None if t is None else change(t), batch)


def _empty(tensor, count):
    return tf.TensorArray(tensor.dtype, count, element_shape=tensor.shape)


def _join(rows, tensor):
    """The mean of scalars; the rows of all pieces in order."""
    if tensor.shape.rank == 0:
        return tf.reduce_mean(rows.stack())
    return rows.concat()
