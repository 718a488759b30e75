"""The same recipe on JAX's backend, on one device and on several."""

import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import pytest

from keras_vit import training
from keras_vit.training.engine import JaxTrainStep, jax_sharding
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.recipes import Recipe

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "tests" / "training" / "engine" / "jax_devices.py"


def run(*words):
    """What the script prints, on JAX with two devices."""
    if keras.backend.backend() != "jax":
        pytest.skip("`make test-jax` runs it: JAX compiles for half a minute")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), *words],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_data_and_model_parallel_train_as_one_device_does(tmp_path):
    """Weights to 1e-5, with dropout and averages; kernels are cut; files open."""
    found = run(str(tmp_path))

    assert [[16, 32]] == found["one"]["shards"]
    assert 2 * [[16, 32]] == found["data_parallel"]["shards"]
    assert 2 * [[16, 16]] == found["model_parallel"]["shards"]
    for name, seen in found.items():
        assert max(seen["best"], seen["last"]) < 1e-5, name
        assert 0 == seen["result"], name
        own, other = seen["top1"]
        assert own == pytest.approx(other), name
        assert seen["val_loss"] == pytest.approx(found["one"]["val_loss"], abs=1e-5)
    assert found["one"]["val_loss"][0] > found["one"]["val_loss"][1]


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path):
    """The same bits, in the middle of an epoch, on one device and on two."""
    for name, seen in run(str(tmp_path), "--resume").items():
        assert {"states": 1, "weights": 0.0, "same": True} == seen, name


@pytest.mark.parametrize("name", ["data_parallel", "model_parallel"])
def test_strategies_of_jax_are_refused_elsewhere(monkeypatch, name):
    """On TensorFlow's backend Keras would ignore them."""
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    with pytest.raises(
        ValueError, match=f"{name}.*got 'tensorflow'.*KERAS_BACKEND=jax"
    ):
        training.choose_strategy(name)


@pytest.mark.parametrize("name", ["mirrored", "multi_worker", "tpu"])
def test_strategies_of_tensorflow_are_refused_on_jax(monkeypatch, name):
    """The message names those there are, and the backend for the others."""
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(
        ValueError, match=f"'model_parallel' on JAX.*got '{name}'.*=tens"
    ):
        training.choose_strategy(name)


def test_several_processes_are_refused_on_jax(monkeypatch):
    """The message counts them and names what there is instead."""
    several = types.SimpleNamespace(num_processes=3)
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["a", "b"])
    monkeypatch.setattr(jax_sharding, "_cut", lambda devices: several)
    with pytest.raises(ValueError, match="one process trains, got 3.*'multi_worker'"):
        training.choose_strategy("model_parallel")


def test_another_backend_is_refused(monkeypatch):
    """The message says which two there are."""
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="got 'torch'.*KERAS_BACKEND=tensorflow"):
        training.choose_strategy("one")


@pytest.mark.parametrize("name", ["data_parallel", "model_parallel"])
def test_one_device_cannot_share(monkeypatch, name):
    """The message counts them and has the way out."""
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    with pytest.raises(ValueError, match=f"{name}.*got 1. Use strategy='one'"):
        training.choose_strategy(name)


@pytest.mark.parametrize(
    ("field", "value", "way_out"),
    [
        ("micro_batch", 8, "more devices"),
        ("xla", True, "JAX compiles"),
        ("teacher", "teacher.keras", "KERAS_BACKEND=tensorflow"),
        ("sharpness", {"rho": 0.05}, "KERAS_BACKEND=tensorflow"),
        ("progressive", ((0.0, 16), (0.5, 32)), "KERAS_BACKEND=tensorflow"),
        ("remat", True, "KERAS_BACKEND=tensorflow"),
    ],
)
def test_what_the_step_on_jax_cannot_do_is_refused(field, value, way_out):
    """By name, before anything slow, with the way out."""
    recipe = Recipe(name="x", **{field: value})
    with pytest.raises(ValueError, match=f"^{field}: .*got {field}=.*{way_out}"):
        strategies.check(recipe, jax_sharding.JaxDevices())


def test_a_plan_is_made_on_tensorflow(monkeypatch):
    """The memory of a step is read off TensorFlow's graph."""
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="dry_run.*got the backend 'jax'.*=tensorflow"):
        training.dry_run("digits")


class OwnStep(keras.Model):
    """A model that wants to train itself."""

    def train_step(self, *arguments):
        return {}


def test_a_model_with_a_step_of_its_own_is_refused():
    """The message has its class and both ways out."""
    with pytest.raises(ValueError, match="got OwnStep.*compute_loss, or call"):
        JaxTrainStep(OwnStep())
