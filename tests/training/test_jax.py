"""The same recipe on JAX's backend, on several devices."""

import os
import pathlib
import subprocess
import sys

import pytest

from keras_vit import training

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import keras, numpy as np
from keras_vit import training

model = dict(patch_size=16, width=16, depth=1, heads=2, mlp_dim=32, qkv_bias=False)
weights = []
for strategy in ("one", "data_parallel", "model_parallel"):
    training.fit(
        "digits", model=model, epochs=1, batch_size=256, clipnorm=0.05, ema=0.9,
        strategy=strategy, output_dir=sys.argv[1] + strategy, verbose=0,
    )
    path = sys.argv[1] + strategy + "/last.keras"
    weights.append(keras.saving.load_model(path).get_weights())
for other in weights[1:]:
    print(max(np.abs(a - b).max() for a, b in zip(weights[0], other)))
"""


@pytest.mark.slow
def test_data_and_model_parallel_train_as_one_device_does(tmp_path):
    """Two devices by data, and by kernels: the weights agree to 1e-6."""
    pytest.importorskip("jax")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "run-")],
        capture_output=True,
        text=True,
        env=environment,
    )

    assert 0 == done.returncode, done.stderr[-2000:]
    assert max(map(float, done.stdout.split())) < 1e-6


@pytest.mark.parametrize("strategy", ["data_parallel", "model_parallel"])
def test_strategies_of_jax_are_refused_elsewhere(strategy):
    """On TensorFlow's backend Keras would ignore them."""
    with pytest.raises(ValueError, match="got 'tensorflow', where.*KERAS_BACKEND=jax"):
        training.choose_strategy(strategy)
