"""Which devices share the work."""

import tensorflow as tf

STRATEGIES = ("auto", "one", "mirrored")


def choose(name):
    """Turn a name into a `tf.distribute` strategy.

    Args:
        name: "one" device; "mirrored" over all GPUs, or over the logical CPUs
            where there is no GPU; "auto" is mirrored with two GPUs or more.

    Returns:
        `tf.distribute.Strategy`.

    Raises:
        ValueError: for an unknown name, or mirrored with a single device.
    """
    if name not in STRATEGIES:
        known = ", ".join(map(repr, STRATEGIES))
        raise ValueError(f"strategy: must be one of {known}, got {name!r}.")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise ValueError(
            "strategy: 'mirrored' needs two devices or more, got "
            f"{len(devices)}. Use strategy='one'."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check(recipe, strategy):
    """Refuse a batch that cannot be dealt out evenly.

    Raises:
        ValueError: naming a batch size that can.
    """
    replicas, piece = strategy.num_replicas_in_sync, recipe.micro_batch or 1
    unit = replicas * piece
    if recipe.batch_size % unit:
        fits = -(-recipe.batch_size // unit) * unit
        pieces = "" if piece == 1 else f" times micro_batch={piece}"
        raise ValueError(
            f"batch_size: must be a multiple of {unit}, the number of devices{pieces}, "
            f"got {recipe.batch_size}. Use batch_size={fits}."
        )
