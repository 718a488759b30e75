"""What every test shares: seeds, small models, the optional folder of references."""

import os
import pathlib
import signal
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import keras_vit

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLOWEST_CPU_S = 75.0  # an unmarked test above this fails: it belongs to `make slow`

# Tests press Ctrl-C, which a shell that runs them in the background has ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared():
    """Recorded outputs and real images, where a checkout has them beside it."""
    folder = ROOT.parent / "shared"
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"needs the reference recordings in {folder}, which are absent")
    return folder


def fill(model, scale=0.1, seed=0):
    """Give every weight a random value: heads and class tokens start at zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        noise = rng.standard_normal(weight.shape).astype("float32") * scale
        base = 1.0 if weight.name == "gamma" else 0.0
        weight.assign(base + noise)
    return model


def make_tiny(**options):
    """A Vision Transformer of two blocks and width 16 on 32 px images, filled."""
    numbers = {
        "image_size": 32,
        "patch_size": 8,
        "width": 16,
        "depth": 2,
        "heads": 2,
        "mlp_dim": 32,
        "classes": 5,
    }
    return fill(keras_vit.VisionTransformer(**{**numbers, **options}))


@pytest.fixture(scope="session")
def tiny():
    """`make_tiny`, as a fixture: tests cannot import this file."""
    return make_tiny


@pytest.fixture
def images():
    """Four random images in the range of the tiny model, (4, 32, 32, 3)."""
    return np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype("float32")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Fail an unmarked test that takes too long: the budget of the suite is a test."""
    start = time.process_time()
    yield
    seconds = time.process_time() - start
    if seconds > SLOWEST_CPU_S and "slow" not in item.keywords:
        pytest.fail(f"took {seconds:.0f} CPU s; speed it up or mark it slow")
