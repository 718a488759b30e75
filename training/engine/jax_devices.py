"""Which devices share the work on the JAX backend: `keras.distribution`."""

import contextlib
import dataclasses

import keras

STRATEGIES = ("auto", "one", "data_parallel", "model_parallel")

# Where the kernels of a block are cut: the first of two products by its outputs, the
# second by its inputs, so that nothing is exchanged between them.
CUTS = {
    r".*(qkv|query|key|value|dense_1|fc1|up).*kernel": (None, "model"),
    r".*(proj|out|dense_2|fc2|down).*kernel": ("model", None),
}


@dataclasses.dataclass(frozen=True)
class JaxDevices:
    """Stands where a `tf.distribute.Strategy` stands on TensorFlow.

    Args:
        distribution: of `keras.distribution`, or None for one device.
        num_replicas_in_sync: devices that a batch is dealt out to.
    """

    distribution: object = None
    num_replicas_in_sync: int = 1

    @contextlib.contextmanager
    def scope(self):
        """In the block, variables are made and steps are compiled for the devices."""
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(self.distribution)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)


def choose(name):
    """Turn a name into `JaxDevices`.

    Args:
        name: "one"; "data_parallel": every device has the model and its share of the
            batch; "model_parallel": every device has the batch and its share of the
            kernels of each block; "auto" is data_parallel on two devices or more.

    Raises:
        ValueError: for an unknown name, or with a single device.
    """
    if name not in STRATEGIES:
        known = ", ".join(map(repr, STRATEGIES))
        raise ValueError(
            f"strategy: must be one of {known} on JAX's backend, got {name!r}."
        )
    devices = keras.distribution.list_devices()
    if name == "one" or (name == "auto" and len(devices) < 2):
        return JaxDevices()
    if len(devices) < 2:
        raise ValueError(
            f"strategy: {name!r} needs two devices or more, got {len(devices)}. Use "
            "strategy='one'."
        )
    if name != "model_parallel":
        return JaxDevices(
            keras.distribution.DataParallel(devices=devices), len(devices)
        )
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    for pattern, axes in CUTS.items():
        layout[pattern] = axes
    return JaxDevices(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
