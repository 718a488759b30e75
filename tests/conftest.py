"""What every test shares: seeds, small models, the optional folder of references.

Keras is imported inside functions: the process that only hands tests out to others
needs none.
"""

import gc
import os
import pathlib
import resource
import signal
import time

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parents[1]
# An unmarked test above this fails: twice what the dearest takes, processors differ.
# JAX compiles for minutes what TensorFlow traces in seconds.
SLOWEST_CPU_S = {"jax": 90.0, "torch": 90.0}.get(os.environ.get("KERAS_BACKEND"), 25.0)
LISTED = 20  # the dearest tests, at the end of a run
CPU = "cpu_s"

# Tests press Ctrl-C, which a shell that runs them in the background has ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """What was imported stays: the collector of garbage need not walk over it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seed():
    import keras

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
    import keras_vit

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


@pytest.fixture(scope="session")
def plain():
    """A function that makes a Keras model of two weights, always the same.

    What is promised of a training run whatever it trains needs no transformer, whose
    step takes seconds to trace.
    """

    def make(classes=10):
        import keras

        image = keras.Input((32, 32, 3))
        x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(image))
        x = keras.layers.Dropout(0.1, seed=0, name="dropout")(x)
        start = keras.initializers.GlorotUniform(seed=0)
        x = keras.layers.Dense(classes, kernel_initializer=start, name="head")(x)
        return keras.Model(image, x, name="plain")

    return make


@pytest.fixture
def small_recipes(monkeypatch):
    """The recipe of digits with one block of width 16: the calls are what counts."""
    from keras_vit.training import recipes

    sizes = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
    small = recipes.RECIPES["digits"].override(model=sizes)
    monkeypatch.setitem(recipes.RECIPES, "digits", small)


@pytest.fixture(scope="session")
def converts_once():
    """TensorFlow converts equal models once; recipes and faces start from its file.

    Gives the two functions that are replaced, for tests of what goes wrong on the way.
    """
    from keras_vit.export.conversion import tflite
    from keras_vit.export.quantization.calibration.saved_ranges import fingerprint

    write, convert = tflite.write_savedmodel, tflite.convert
    asked, made = {}, {}

    def note(reference, folder):
        asked[folder] = reference

    def lookup(folder):
        reference = asked.pop(folder)
        model = reference.model
        wiring = repr(model.get_config()), repr(reference.contract)
        key = fingerprint(model), *wiring
        if key not in made:
            write(reference, folder)
            made[key] = convert(folder)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "write_savedmodel", note)
        patch.setattr(tflite, "convert", lookup)
        yield write, convert


def cpu_seconds():
    """CPU time so far, of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def over_budget(seconds, keywords):
    """What to say of a test that took so long, None where it may."""
    if "slow" in keywords or seconds <= SLOWEST_CPU_S:
        return None
    return (
        f"must take {SLOWEST_CPU_S:.0f} CPU s or less, took {seconds:.0f}. Use a "
        "smaller model, share a fixture, call a function instead of a process; or mark "
        "it slow, and check the same promise here in a cheaper way."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """What fixtures take goes to the first test that asks for them."""
    start = cpu_seconds()
    try:
        return (yield)
    finally:
        item.user_properties.append((CPU, cpu_seconds() - start))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """The budget of the suite is a test; fixtures are not counted."""
    start = cpu_seconds()
    try:
        answer = yield
    finally:
        seconds = cpu_seconds() - start
        item.user_properties.append((CPU, seconds))
    said = over_budget(seconds, item.keywords)
    if said:
        pytest.fail(f"{item.nodeid} {said}", pytrace=False)
    return answer


def pytest_terminal_summary(terminalreporter):
    """The dearest tests by CPU time, which does not depend on what else runs here."""
    found = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            parts = [n for name, n in report.user_properties if name == CPU]
            found.append((sum(parts), report.nodeid))
    if len(found) < LISTED:
        return
    terminalreporter.section(
        f"dearest {LISTED} of {sum(s for s, _ in found):.0f} CPU s"
    )
    for seconds, name in sorted(found, reverse=True)[:LISTED]:
        terminalreporter.line(f"{seconds:6.1f} s  {name}")
