"""One device, two devices and two processes train the same model."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_vit.cli import launch

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "training" / "equality.py"


def start(folder, steps, cases, config=None):
    """The script that trains, as a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}
    if config is not None:
        environment["TF_CONFIG"] = json.dumps(config)
    words = [str(folder), "--steps", str(steps), "--cases", ",".join(cases)]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(SCRIPT), *words],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def train_all(folder, steps, cases):
    """Train on one device, on two, and in two processes."""
    addresses = launch.free_addresses(2)
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": k}}
        for k in range(2)
    ]
    assert_well([start(folder, steps, cases)])
    assert_well([start(folder, steps, cases, config) for config in configs])


def assert_well(processes):
    """All end with exit code 0."""
    said = [process.communicate()[1] for process in processes]
    assert [0] * len(processes) == [p.returncode for p in processes], said[0][-2000:]


def difference(folder, case, kind):
    """Largest difference to one device, of all weights and averages."""
    one, other = (np.load(folder / f"{k}-{case}.npz") for k in ("one", kind))
    assert len(one.files) == len(other.files) > 0
    return max(np.abs(one[name] - other[name]).max() for name in one.files)


def test_the_number_of_devices_makes_no_difference(tmp_path):
    """Clipping, averages and pieces together: the same weights after four steps."""
    assert_well([start(tmp_path, 4, ["all_plain"])])

    assert difference(tmp_path, "all_plain", "mirrored") < 1e-6


@pytest.mark.slow
def test_the_number_of_processes_makes_no_difference(tmp_path):
    """The same of a transformer, on two devices and in two processes."""
    train_all(tmp_path, 4, ["all"])
    found = {k: difference(tmp_path, "all", k) for k in ("mirrored", "workers")}

    assert {} == {key: d for key, d in found.items() if not d < 1e-6}


EXACT = ["plain", "pieces", "clipping", "ema", "mixup", "together", "all"]
EXACT += ["simclr", "moco_v3", "mae", "patches", "bert", "bit", "hybrid"]


@pytest.mark.slow
def test_fifty_steps_are_the_same_on_any_number_of_devices(tmp_path):
    """Each switch by itself: no weight is further off than 1e-5."""
    train_all(tmp_path, 50, [*EXACT, "bfloat16"])
    found = {
        (case, kind): difference(tmp_path, case, kind)
        for case in [*EXACT, "bfloat16"]
        for kind in ("mirrored", "workers")
    }
    print(found)

    assert {} == {key: d for key, d in found.items() if not d < limit(key[0])}


def limit(case):
    """Half-precision gradients are rounded device by device, others are not."""
    return 2e-2 if case == "bfloat16" else 1e-5
