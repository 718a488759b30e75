"""Distribution strategies: which devices share the work."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import TypeAlias

import keras
import tensorflow as tf

from keras_vit.choices import check_choice
from keras_vit.training.engine import jax_sharding, multi_worker
from keras_vit.training.engine.private_tensorflow import is_deterministic

Strategy: TypeAlias = tf.distribute.Strategy | jax_sharding.JaxDevices
STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")


def choose(name: str | Strategy) -> Strategy:
    """Turn a name into a `tf.distribute` strategy.

    Args:
        name: "one" device; "mirrored" over all GPUs of this machine, or over the
            logical CPUs where there is no GPU; "multi_worker" over the processes of
            TF_CONFIG; "tpu"; "auto" is multi_worker where TF_CONFIG names several
            processes, else mirrored with two GPUs or more, else one. A strategy that
            was made before is taken as it is. On JAX's backend see
            `engine.jax_devices.choose`.

    Returns:
        `tf.distribute.Strategy`, on JAX `JaxDevices`.

    Raises:
        ValueError: for an unknown name, another backend, or devices that are not there.
    """
    backend = keras.config.backend()
    if backend == "jax":
        return (
            name
            if isinstance(name, jax_sharding.JaxDevices)
            else jax_sharding.choose(name)
        )
    if backend != "tensorflow":
        raise ValueError(
            "strategy: recipes train on TensorFlow's and JAX's backend, got "
            f"{backend!r}. Set KERAS_BACKEND=tensorflow; the trained model opens on "
            "every backend."
        )
    if isinstance(name, tf.distribute.Strategy):
        return name
    if name in ("data_parallel", "model_parallel"):
        raise ValueError(
            f"strategy: {name!r} needs JAX's backend, got {backend!r}, where Keras "
            "would train on one device and say nothing. Set KERAS_BACKEND=jax, or use "
            "'mirrored'."
        )
    check_choice("strategy", name, STRATEGIES)
    if name == "auto":
        name = _automatic()
    made: dict[str, Callable] = {
        "one": tf.distribute.get_strategy,
        "multi_worker": multi_worker.connect,
        "mirrored": _mirrored,
        "tpu": _tpu,
    }
    return made[str(name)]()


def _automatic():
    """The strategy that uses all there is."""
    cluster = multi_worker.read_cluster()
    if cluster is not None and len(cluster.addresses) > 1:
        return "multi_worker"
    return "one" if len(tf.config.list_logical_devices("GPU")) < 2 else "mirrored"


def _mirrored():
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise ValueError(
            "strategy: 'mirrored' needs two devices or more, got "
            f"{len(devices)}. Use strategy='one'."
        )
    return _one_of(tuple(device.name for device in devices))


@functools.cache  # a second one in a process counts its exchanges as the first does
def _one_of(names):
    return tf.distribute.MirroredStrategy(list(names))


def _tpu():
    try:
        name = os.environ.get("TPU_NAME", "local")
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as err:
        raise ValueError(
            "strategy: 'tpu' needs a TPU that TensorFlow can reach, got none ("
            f"{str(err).splitlines()[0]}). No build of TensorFlow {tf.__version__} for "
            "TPUs is published. Use strategy='auto' on a machine with GPUs."
        ) from err
    return tf.distribute.TPUStrategy(resolver)


def check(recipe, strategy):
    """Refuse what the devices cannot share.

    Raises:
        ValueError: for a batch that cannot be dealt out evenly, naming one that can;
            for XLA where it cannot be, and for what JAX's step does not do.
    """
    if isinstance(strategy, jax_sharding.JaxDevices):
        jax_sharding.check_recipe(recipe)
    replicas, piece = strategy.num_replicas_in_sync, recipe.micro_batch or 1
    unit = replicas * piece
    if recipe.batch_size % unit:
        fits = -(-recipe.batch_size // unit) * unit
        pieces = "" if piece == 1 else f" times micro_batch={piece}"
        raise ValueError(
            f"batch_size: must be a multiple of {unit}, the number of devices{pieces}, "
            f"got {recipe.batch_size}. Use batch_size={fits}."
        )
    if recipe.xla and is_deterministic():
        raise ValueError(
            "xla: does not keep to the order of operations that determinism asks for, "
            "got xla=True after enable_op_determinism(). Use xla=False."
        )


def spread(feeds, strategy):
    """The data of a run as `model.fit` takes them, dealt out to the devices.

    Training batches of our own sources are made by each process for itself. Others,
    and those of the validation, are made by all processes, each of which lets go of
    what is for the others.

    Args:
        feeds: `Feeds`, of this process. strategy: `tf.distribute.Strategy`.

    Returns:
        Training set, validation set.
    """
    if keras.config.backend() == "jax":
        return feeds.train, jax_sharding.validation(feeds)
    _, processes = multi_worker.place(strategy)
    if processes == 1:
        return feeds.train, feeds.validation
    policy = tf.data.Options()
    policy.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    validation = feeds.validation.with_options(policy)
    if not feeds.resumable:
        return feeds.train.with_options(policy), validation
    devices = strategy.num_replicas_in_sync // processes
    own = keras.tree.flatten(feeds.train.element_spec)[0].shape[0]
    train = strategy.distribute_datasets_from_function(
        lambda context: feeds.train.rebatch(own // devices, drop_remainder=True)
    )
    return train, validation


@dataclasses.dataclass(frozen=True)
class Worker:
    """This process among those that train the model together.

    Args:
        number: of this process; 0 is the first, whose files are the run's.
        count: of all.
        scratch: folder for what one writes that is not the first, or None; see
            `multi_worker.own_folder`.
    """

    number: int
    count: int
    scratch: pathlib.Path | None


@contextlib.contextmanager
def on(strategy):
    """Around a whole run: what is said when a worker is gone, and where it writes.

    JAX asks for its devices whenever it compiles a step.

    Yields:
        `Worker`.
    """
    is_jax = isinstance(strategy, jax_sharding.JaxDevices)
    devices = strategy.scope() if is_jax else contextlib.nullcontext()
    with devices, multi_worker.noticing_losses(strategy):
        with multi_worker.own_folder(strategy) as scratch:
            yield Worker(*multi_worker.place(strategy), scratch)
