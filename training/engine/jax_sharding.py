"""Sharding on JAX's backend: which devices share the work, by `keras.distribution`."""

import contextlib
import dataclasses
import math

import keras
import tensorflow as tf

STRATEGIES = ("auto", "one", "data_parallel", "model_parallel")

# Where the kernels of a block are cut: the first of two products by its outputs, the
# second by its inputs, so that one exchange is enough for both.
CUTS = {
    r".*/(qkv|query|key|value|fc1)/kernel": (None, "model"),
    r".*/(proj|fc2)/kernel": ("model", None),
}
ELSEWHERE = "Train on TensorFlow's backend (KERAS_BACKEND=tensorflow)"
REFUSED = {
    "micro_batch": "Take more devices with strategy='data_parallel', or train on "
    "TensorFlow's backend (KERAS_BACKEND=tensorflow)",
    "xla": "Leave it out: JAX compiles each step with XLA anyway",
    "teacher": ELSEWHERE,
    "sharpness": ELSEWHERE,
    "progressive": ELSEWHERE,
    "remat": ELSEWHERE,
}


class _DataParallel(keras.distribution.DataParallel):
    """Batches that cannot be dealt out evenly go to every device as a whole."""

    def get_data_layout(self, data_shape):
        layout = super().get_data_layout(data_shape)
        if data_shape[0] % self.device_mesh.shape[0] == 0:
            return layout
        whole = (None,) * len(data_shape)
        return keras.distribution.TensorLayout(whole, self.device_mesh)


class _ModelParallel(keras.distribution.ModelParallel):
    """A kernel that cannot be cut evenly stays whole on every device."""

    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        pieces = dict(
            zip(self.device_mesh.axis_names, self.device_mesh.shape, strict=True)
        )
        sides = zip(layout.axes, variable.shape, strict=True)
        if all(side % pieces.get(axis, 1) == 0 for axis, side in sides):
            return layout
        whole = (None,) * len(variable.shape)
        return keras.distribution.TensorLayout(whole, self.device_mesh)


@dataclasses.dataclass(frozen=True)
class JaxDevices:
    """Devices on JAX's backend, in the place of a `tf.distribute.Strategy`.

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
        ValueError: for an unknown name, too few devices, or several processes.
    """
    if name not in STRATEGIES:
        known = ", ".join(map(repr, STRATEGIES))
        raise ValueError(
            f"strategy: must be one of {known} on JAX's backend, got {name!r}. The "
            "others are TensorFlow's: set KERAS_BACKEND=tensorflow for them."
        )
    devices = keras.distribution.list_devices()
    if name == "one" or (name == "auto" and len(devices) < 2):
        return JaxDevices()
    if len(devices) < 2:
        raise ValueError(
            f"strategy: {name!r} needs two devices or more, got {len(devices)}. Use "
            "strategy='one'."
        )
    cut = name == "model_parallel"
    distribution = _cut(devices) if cut else _DataParallel(devices=devices)
    if distribution.num_processes > 1:
        raise ValueError(
            "strategy: on JAX's backend one process trains, got "
            f"{distribution.num_processes}. Use 'multi_worker' on TensorFlow's backend."
        )
    return JaxDevices(distribution, 1 if cut else len(devices))


def _cut(devices):
    """Model parallelism: a device has the whole batch and a share of each kernel."""
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    for pattern, axes in CUTS.items():
        layout[pattern] = axes
    return _ModelParallel(layout_map=layout, batch_dim_name="batch")


def check_recipe(recipe):
    """Refuse what the step on JAX cannot do.

    Raises:
        ValueError: naming the field and the way out.
    """
    for name, way_out in REFUSED.items():
        if getattr(recipe, name):
            raise ValueError(
                f"{name}: works on TensorFlow's backend alone, got {name}="
                f"{getattr(recipe, name)!r} on JAX. {way_out}."
            )


def check_cut(model):
    """Make sure that under "model_parallel" something is shared.

    Raises:
        ValueError: for a model without a kernel that can be cut.
    """
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, _ModelParallel):
        return
    layouts = [distribution.get_variable_layout(v) for v in model.variables]
    if not any("model" in layout.axes for layout in layouts):
        raise ValueError(
            "strategy: 'model_parallel' needs kernels called qkv, proj, fc1 or fc2 "
            f"with sides that {distribution.device_mesh.shape[1]} devices divide, got "
            f"none in {model.name!r}. Use strategy='data_parallel'."
        )


def validation(feeds):
    """Validation batches as the devices can take them, each image once.

    Keras deals every batch out as the first one. Where the last one cannot be dealt
    out evenly, all are made such that none can: every device then sees all images.

    Args:
        feeds: `Feeds`.

    Returns:
        `tf.data.Dataset`.
    """
    distribution = keras.distribution.distribution()
    images = feeds.info.counts["validation"]
    if not isinstance(distribution, _DataParallel):
        return feeds.validation
    if images % distribution.device_mesh.shape[0] == 0:
        return feeds.validation
    size = feeds.recipe.batch_size - 1
    batches = feeds.validation.rebatch(size, drop_remainder=False)
    count = math.ceil(images / size)
    return batches.apply(tf.data.experimental.assert_cardinality(count))
