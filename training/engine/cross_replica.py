"""Cross-replica operations: rows of all devices, and how many images they have."""

import tensorflow as tf


def gather_rows(rows):
    """All-gather: rows of all devices in order, and the index of the first of these.

    Gradients flow back to the device that a row came from, from all devices. Devices
    may have different numbers of rows, or none.

    Args:
        rows: (b, D) float, of this device.

    Returns:
        (B, D), and an int32 scalar; outside of a step on several devices the rows
        themselves and 0.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return rows, 0
    add = tf.distribute.ReduceOp.SUM
    count, own = context.num_replicas_in_sync, context.replica_id_in_sync_group
    size = tf.shape(rows)[0]
    # Whole numbers are summed as floats: GPUs keep int32 in the memory of the host.
    sizes = tf.one_hot(own, count) * tf.cast(size, tf.float32)
    sizes = tf.cast(context.all_reduce(add, sizes), tf.int32)
    first = tf.reduce_sum(tf.where(tf.range(count) < own, sizes, 0))
    behind = tf.reduce_sum(sizes) - first - size
    # The sum of arrays with zeros in the places of the others: its gradient is a sum
    # over all devices again, of which each takes its own rows.
    return context.all_reduce(add, tf.pad(rows, ((first, behind), (0, 0)))), first


def share_images(count):
    """Images of all devices in a step, and the index of the first of this one.

    Args:
        count: images of this device; in training all have as many.

    Returns:
        Two numbers.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return count, 0
    own = context.replica_id_in_sync_group
    return count * context.num_replicas_in_sync, count * own
