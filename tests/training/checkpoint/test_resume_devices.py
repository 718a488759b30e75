"""A run on several devices that was stopped ends as if nothing had happened."""

import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
OPTIONS = {
    "recipe": "digits",
    "epochs": 2,
    "batch_size": 256,
    "ema": 0.9,
    "steps_per_execution": 1,
    "verbose": 0,
}
# One process, or one of two: trains whole, then is told to stop in the middle of the
# last epoch (of two workers, the second is told), then goes on.
SCRIPT = f"""
import json, os, pathlib, signal, sys
import keras, tensorflow as tf
if "TF_CONFIG" not in os.environ:
    (cpu,) = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])
from keras_vit import training
from keras_vit.training import agreement
agreement.Agreement.seconds = 0
strategy = training.choose_strategy(sys.argv[1])
number = 1
if "TF_CONFIG" in os.environ:
    number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]

def plain():
    # Two weights and a dropout, always the same.
    image = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(image))
    x = keras.layers.Dropout(0.1, seed=0, name="dropout")(x)
    start = keras.initializers.GlorotUniform(seed=0)
    x = keras.layers.Dense(10, kernel_initializer=start, name="head")(x)
    return keras.Model(image, x)

def fit(**more):
    with strategy.scope():
        model = plain()
    training.fit(model=model, strategy=strategy, **options, **more)

class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1) and number == 1:
            signal.raise_signal(signal.SIGTERM)

whole, cut = (pathlib.Path(sys.argv[2]) / name for name in ("whole", "cut"))
options = {OPTIONS!r}
fit(output_dir=whole)
try:
    fit(output_dir=cut, callbacks=[Stop()])
except SystemExit as stop:
    print(stop.code, *sorted(path.name for path in (cut / "states").glob("*.npz")))
fit(output_dir=cut)
"""


def environment(**more):
    """Variables of a process that trains."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow", **more}


def launch(folder, strategy, **more):
    """The script as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, strategy, str(folder)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def arrays_of(path):
    """Name -> weight of a saved model, read without Keras."""
    with zipfile.ZipFile(path) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    found = {}
    file.visititems(
        lambda name, item: (
            found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    )
    return found


def assert_same_end(expected, got):
    """Bit for bit, in every weight and every number of the log."""
    for name in ("last.keras", "best.keras"):
        one, other = arrays_of(expected / name), arrays_of(got / name)
        assert one.keys() == other.keys() and one
        for key, array in one.items():
            np.testing.assert_array_equal(array, other[key])
    csv = "history.csv"
    assert (expected / csv).read_text() == (got / csv).read_text()
    assert not (got / "states").exists()


def test_two_devices_go_on_from_the_middle_of_an_epoch(tmp_path):
    """SIGTERM, and the same call again: weights and numbers of a whole run."""
    process = launch(tmp_path, "mirrored")
    said, _ = process.communicate()

    assert 0 == process.returncode
    assert said.startswith("143") and said.endswith("state-000000006.npz\n")
    assert_same_end(tmp_path / "whole", tmp_path / "cut")


def two_configs():
    """TF_CONFIG of two workers of this machine."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    tasks = [{"type": "worker", "index": index} for index in range(2)]
    cluster = {"worker": addresses}
    return [json.dumps({"cluster": cluster, "task": task}) for task in tasks]


@pytest.mark.slow
def test_two_workers_stop_together_and_go_on(tmp_path):
    """One of them is told to stop: both do, behind the same step."""
    processes = [
        launch(tmp_path, "multi_worker", TF_CONFIG=config) for config in two_configs()
    ]
    said = [process.communicate()[0].split() for process in processes]

    assert [0, 0] == [process.returncode for process in processes]
    assert said[0] == said[1] and "143" == said[0][0]
    assert_same_end(tmp_path / "whole", tmp_path / "cut")


KILLED = """
import json, os, sys
if sys.argv[1] == "mirrored":
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [half, half])
from keras_vit import training
from keras_vit.training import guard
guard.KeepState.rest = 0  # a state every few steps, so that some kills meet a write
strategy = training.choose_strategy(sys.argv[1])
options = json.loads(sys.argv[3])
training.fit(output_dir=sys.argv[2], strategy=strategy, **options)
"""
LONG = {**OPTIONS, "epochs": 120, "save_minutes": 0}
LONG["model"] = {**SMALL, "drop_path": 0.1, "dropout": 0.1}


def start(folder, strategy):
    """The processes of a run."""
    configs = two_configs() if strategy == "multi_worker" else [None]
    words = [sys.executable, "-c", KILLED, strategy, str(folder), json.dumps(LONG)]
    return [
        subprocess.Popen(
            words,
            env=environment(**({"TF_CONFIG": config} if config else {})),
            stderr=subprocess.DEVNULL,
        )
        for config in configs
    ]


def steps_done(folder):
    """Steps of the newest state of a run, 0 where there is none."""
    notes = (folder / "states").glob("state-*.json")
    return max((int(note.stem.split("-")[1]) for note in notes), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["one", "mirrored", "multi_worker"])
def test_twenty_kills_at_random(strategy, tmp_path):
    """Wherever one process is killed, all go on, and no step is lost or repeated."""
    rng, writing = np.random.default_rng(), 0
    assert [0] == list({p.wait() for p in start(tmp_path / "whole", strategy)})
    folder = tmp_path / "killed"
    for _ in range(20):
        processes, before = start(folder, strategy), steps_done(folder)
        while steps_done(folder) == before:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        victim = processes[rng.integers(len(processes))]
        victim.kill()
        writing += bool(list((folder / "states").glob(".state*")))
        assert -signal.SIGKILL == victim.wait(), "the run was over too early"
        killed = time.monotonic()
        assert all(process.wait(60) for process in processes)
        assert time.monotonic() - killed < 30, "a dead worker ends the others"
    assert [0] == list({p.wait() for p in start(folder, strategy)})
    assert_same_end(tmp_path / "whole", folder)
    print(f"{writing} of 20 kills met a state that was being written")
