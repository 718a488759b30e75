"""Multi-worker training: TF_CONFIG, the place of a process, and the loss of another."""

import atexit
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import tempfile

import tensorflow as tf

from keras_vit.errors import WorkerLost

EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
LEAVING = 10  # seconds that a process may take to end, once another one is lost
LOSSES = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What TF_CONFIG says.

    Args:
        addresses: "host:port" of all processes, the chief first.
        number: which of them this is; 0 is the chief, who writes files.
    """

    addresses: tuple
    number: int


def read_cluster():
    """`Cluster` of the variable TF_CONFIG, or None without it.

    Raises:
        ValueError: when it is set to something else.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs = [*cluster.get("chief", ())]
        addresses = (*chiefs, *cluster.get("worker", ()))
        own = {"chief": chiefs, "worker": cluster.get("worker", ())}[task["type"]]
        first = 0 if task["type"] == "chief" else len(chiefs)
        number = addresses.index(own[int(task["index"])], first)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as err:
        raise ValueError(
            f"TF_CONFIG: must be JSON like {EXAMPLE}, got {text!r} ({err!r}). Set it "
            "for each process, or let `keras-vit train --workers 2` do so."
        ) from err
    return Cluster(addresses, number)


def connect():
    """Join the other processes.

    Returns:
        `tf.distribute.MultiWorkerMirroredStrategy`.

    Raises:
        ValueError: without TF_CONFIG, or when TensorFlow was used before.
    """
    if read_cluster() is None:
        raise ValueError(
            "strategy: 'multi_worker' needs to know the other processes, got no "
            "TF_CONFIG. Run `keras-vit train --workers 2` on one machine; on several, "
            f"set TF_CONFIG={EXAMPLE} for each process."
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as err:
        raise ValueError(
            "strategy: 'multi_worker' must be made before TensorFlow computes "
            f"anything, got a process where it did ({err}). Begin the program with "
            "strategy = training.choose_strategy('multi_worker'), and pass "
            "strategy=strategy."
        ) from err


def place(strategy):
    """(number of this process, number of all)."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0, 1
    cluster = read_cluster()
    return (0, 1) if cluster is None else (cluster.number, len(cluster.addresses))


@contextlib.contextmanager
def own_folder(strategy):
    """A temporary folder for what a worker writes that is not the first, or None.

    Every worker keeps the same models and states; those of the first are the run's.
    """
    if place(strategy)[0] == 0:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="keras-vit-worker-") as folder:
        yield pathlib.Path(folder)


@contextlib.contextmanager
def noticing_losses(strategy):
    """Turn the errors of a lost worker into `WorkerLost`.

    When Python ends after that, its end may take no more than `LEAVING` seconds: what
    TensorFlow has begun may wait for the lost one for a minute.

    Raises:
        WorkerLost: naming it where TensorFlow does.
    """
    number, count = place(strategy)
    try:
        yield
    except LOSSES as err:
        if count == 1:
            raise
        tasks = re.findall(r"/job:(?:worker|chief)/replica:\d+/task:(\d+)", str(err))
        lost = next((int(task) for task in tasks if int(task) != number), None)
        atexit.register(_leave)
        raise WorkerLost(number, count, lost) from err


def _leave():
    """Have the system end this process soon, which needs nothing of Python for it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LEAVING)
