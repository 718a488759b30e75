import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import training
from keras_vit.errors import DataError
from keras_vit.training.loop import apply_arguments

SMALL = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
OPTIONS = {
    "recipe": "digits",
    "model": {**SMALL, "drop_path": 0.1, "dropout": 0.1},
    "epochs": 2,
    "batch_size": 256,
    "warmup": 0.25,
    "steps_per_execution": 1,
    "verbose": 0,
}


class Recorder(keras.callbacks.Callback):
    """Copy the weights after each epoch; interrupt where told to."""

    def __init__(self, interrupt_in=None):
        super().__init__()
        self.interrupt_in = interrupt_in
        self.weights = []
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.interrupt_in and batch == 1:
            self.weights.append(self.model.get_weights())
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


@dataclasses.dataclass
class Run:
    """A finished run and what was seen on the way."""

    result: training.Result
    weights: list


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two epochs of a small model on digits, with a probe of its features."""
    held, _ = training.load_split("digits", "validation", 32, batch_size=90)
    recorder = Recorder()
    watch = [recorder, training.evaluate.ProbeFeatures(held, held)]
    folder = tmp_path_factory.mktemp("runs") / "one"
    result = training.fit(**OPTIONS, output_dir=folder, callbacks=watch)
    return Run(result, recorder.weights)


def assert_equal_weights(expected, got):
    """Bitwise."""
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_leaves_models_logs_and_its_recipe(run):
    """Everything lies in the output folder, and nothing half-written."""
    folder = run.result.output_dir
    record = json.loads((folder / "recipe.json").read_text())

    files = ["best.keras", "history.csv", "last.keras", "recipe.json"]
    assert [*files, "tensorboard"] == sorted(os.listdir(folder))
    assert 256 == record["recipe"]["batch_size"]
    assert list("0123456789") == record["class_names"]
    assert list(folder.glob("tensorboard/*/events*"))


def test_the_history_is_in_the_result_and_in_the_csv(run):
    """One row per epoch, with the learning rate and the probe at its end."""
    history = run.result.history
    with open(run.result.output_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    # 4 steps an epoch, 8 in all, 2 of warm-up.
    schedule = training.optim.schedules.WarmupCosine(
        run.result.recipe.learning_rate, 8, 2
    )

    names = {"loss", "top1", "top5", "val_loss", "val_top1", "val_top5"}
    assert names | {"learning_rate", "knn_top1"} == set(history)
    best = history["knn_top1"][run.result.best_epoch - 1]
    held, _ = training.load_split("digits", "validation", 32, batch_size=90)
    again = training.evaluate.probes(run.result.model, held, held, ("knn",), 0)
    assert {"knn_top1": best} == again
    assert history["knn_top1"] == [float(row["knn_top1"]) for row in rows]
    assert [f"{loss:.5f}" for loss in history["loss"]] == [
        f"{float(row['loss']):.5f}" for row in rows
    ]
    expected = [float(schedule(4)), float(schedule(8))]
    np.testing.assert_allclose(expected, history["learning_rate"], atol=1e-9)


def test_the_model_that_comes_back_is_the_best_one(run):
    """Its weights are those of the best epoch, and so are those of best.keras."""
    losses = run.result.history[run.result.recipe.monitor]
    best = min(range(2), key=lambda epoch: (losses[epoch], -epoch)) + 1
    saved = keras.saving.load_model(run.result.output_dir / "best.keras")

    assert best == run.result.best_epoch
    assert_equal_weights(run.weights[best - 1], run.result.model.get_weights())
    assert_equal_weights(run.weights[best - 1], saved.get_weights())
    assert list("0123456789") == saved.labels
    assert (32, 32) == saved.preprocessing.image_size


def test_a_saved_model_opens_without_the_training_room(run):
    """The file names no class that `import keras_vit` does not bring."""
    path = run.result.output_dir / "last.keras"
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    names = set(registered_names(config))
    homes = {keras.saving.get_registered_object(n).__module__ for n in names}

    assert "keras_vit>ImageModel" in names
    assert not [home for home in homes if home.startswith("keras_vit.training")]
    assert not keras.saving.load_model(path).compiled


def registered_names(config):
    """The classes of this package that a configuration asks for."""
    if isinstance(config, dict):
        name = config.get("registered_name")
        yield from [name] if name and ">" in name else []
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from registered_names(value)


def test_ctrl_c_keeps_the_models_and_the_seed_repeats_a_run(run, tmp_path, capsys):
    """Stopped in epoch 2, the best is epoch 1, which equals the first run's."""
    recorder = Recorder(interrupt_in=1)
    options = {**OPTIONS, "verbose": 2}
    with pytest.raises(KeyboardInterrupt):
        training.fit(**options, output_dir=tmp_path / "two", callbacks=[recorder])
    folder = tmp_path / "two"
    said = capsys.readouterr().out

    saved = [keras.saving.load_model(folder / f"{n}.keras") for n in ("best", "last")]
    assert_equal_weights(run.weights[0], saved[0].get_weights())
    assert_equal_weights(recorder.weights[-1], saved[1].get_weights())
    files = ["best.keras", "history.csv", "last.keras", "recipe.json"]
    assert [*files, "states", "tensorboard"] == sorted(os.listdir(folder))
    assert 2 == len((folder / "history.csv").read_text().splitlines())
    assert "1 of 2 epochs. Best val_loss" in said
    assert str(folder / "best.keras") in said


def test_an_earlier_run_is_not_overwritten(run):
    """The message has the folder and both ways out."""
    folder = run.result.output_dir
    with pytest.raises(FileExistsError, match=f"{folder}.*overwrite=True"):
        training.fit(**OPTIONS, output_dir=folder)


def test_scores_of_the_result_equal_what_keras_counts(run):
    """top_k on the validation split is the val_top1 of the best epoch."""
    data, _ = training.load_split("digits", "validation", batch_size=50, verbose=0)
    scores = training.evaluate.top_k(run.result.model, data, verbose=0)

    history, best = run.result.history, run.result.best_epoch - 1
    assert 180 == scores["count"]
    np.testing.assert_allclose(history["val_top1"][best], scores["top1"], atol=1e-6)
    np.testing.assert_allclose(history["val_top5"][best], scores["top5"], atol=1e-6)


@pytest.fixture(scope="module")
def small():
    """A model of three classes on 32 px images."""
    return keras_vit.VisionTransformer(image_size=32, classes=3, **SMALL)


BAD_CALLS = {
    "recipe": ({"recipe": "digit"}, ValueError, "'digit'. Did you mean 'digits'"),
    "field": ({"learning_rat": 1.0}, TypeError, "Did you mean 'learning_rate'"),
    "value": ({"epochs": 0}, ValueError, "epochs: must be a whole.*got 0. Pass"),
    "warm-up": ({"warmup": 5}, ValueError, "warmup: .*below 1, got 5"),
    "smoothing": ({"label_smoothing": 1.5}, ValueError, "below 1, got 1.5"),
    "precision": ({"precision": "int8"}, ValueError, "mixed_bfloat16.*'int8'"),
    "augment": ({"augment": "digit"}, ValueError, "Did you mean 'digits'"),
    "strategy": ({"strategy": "two"}, ValueError, "'tpu', got 'two'"),
    "devices": ({"strategy": "mirrored"}, ValueError, "got 1. Use strategy='one'"),
    "source": ({"data": "digit"}, ValueError, "'folder:PATH'.*got 'digit'"),
    "arrays": ({"data": [1, 2]}, TypeError, "load_data returns, got list"),
    "no model": (
        {"recipe": "finetune", "model": None},
        ValueError,
        "got model=None. Pass model='vit.safetensors'",
    ),
    "no data": ({"recipe": "finetune"}, ValueError, "got data=None. Pass data="),
    "model type": ({"model": keras_vit.ViT_Ti16}, TypeError, "dict, got .*called: ViT"),
    "teacher type": ({"teacher": 3}, TypeError, "checkpoint, got 3. Pass teacher='t"),
    "no teacher": (
        {"teacher": pathlib.Path("no.keras")},
        FileNotFoundError,
        "teacher: no.keras: must be an existing file.*Check",
    ),
    "size": ({"image_size": 30}, ValueError, "30x30 px cannot be cut"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_wrong_arguments_are_explained_before_anything_is_written(case, tmp_path):
    """The message has the value and the way out; no folder appears."""
    changes, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message):
        training.fit(**{**OPTIONS, **changes}, output_dir=tmp_path / "out")

    assert [] == os.listdir(tmp_path)


def test_a_model_with_another_head_is_refused(small, tmp_path):
    """Where it cannot be exchanged; the message has both counts and the way out."""
    options = {**OPTIONS, "model": small, "output_dir": tmp_path / "out"}
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    plain = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    with pytest.raises(ValueError, match="10 outputs.*digits, got 3.*classes=10"):
        training.fit(**{**options, "model": plain})
    with pytest.raises(ValueError, match="got precision='mixed_bfloat16'.*dtype="):
        training.fit(**options, precision="mixed_bfloat16")
    with pytest.raises(ValueError, match="got 64 for .*takes 32x32 px. Leave it out"):
        training.fit(**options, image_size=64)

    assert small.labels is None


def test_one_class_is_no_class(small, tmp_path):
    """A classifier of one class would be right whatever it learns."""
    model = keras_vit.VisionTransformer(image_size=32, classes=1, **SMALL)
    data = np.zeros((8, 32, 32, 3), "uint8"), np.zeros(8, "int32")
    with pytest.raises(DataError, match="two classes or more, got only '0'. Add"):
        training.fit("digits", model, data, tmp_path / "out", batch_size=4, verbose=0)
    assert [] == os.listdir(tmp_path)


def test_paths_are_names(tmp_path):
    """Of a model and of a teacher; a model is written down by its name."""
    path = tmp_path / "m.npz"
    path.touch()
    recipe, _ = apply_arguments("digits", path, None, None, {}, path)
    assert (str(path), str(path)) == (recipe.model, recipe.teacher)


def test_loaded_data_of_another_size_are_refused(small, tmp_path):
    """The message has both sizes."""
    model = keras_vit.VisionTransformer(image_size=32, classes=10, **SMALL)
    data = training.load_data("digits", image_size=16, batch_size=256, verbose=0)
    with pytest.raises(ValueError, match=r"\(32, 32, 3\), got \(16, 16, 3\)"):
        training.fit(
            **{**OPTIONS, "model": model, "data": data}, output_dir=tmp_path / "out"
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_digits_recipe_reaches_its_score(seed, tmp_path):
    """98.5% or better of 360 test images it never saw, for any seed."""
    result = training.fit("digits", seed=seed, output_dir=tmp_path / "run", verbose=2)
    test, info = training.load_split("digits", "test")
    scores = training.evaluate.top_k(result.model, test)

    assert 360 == scores["count"] == info.counts["test"]
    assert scores["top1"] >= 0.985


TWO_DEVICES = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
from keras_vit import training
model = dict(patch_size=16, width=16, depth=1, heads=2, mlp_dim=32)
options = dict(model=model, epochs=2, batch_size=128, clipnorm=0.1, verbose=0)
weights = []
for strategy in ("one", "mirrored"):
    folder = sys.argv[1] + strategy
    training.fit("digits", strategy=strategy, output_dir=folder, **options)
    weights.append(keras.saving.load_model(folder + "/last.keras").get_weights())
print(max(np.abs(a - b).max() for a, b in zip(*weights)))
"""


@pytest.mark.slow
def test_two_devices_train_as_one_does(tmp_path):
    """Same batches, same clipping: the weights agree to 1e-5 after 18 steps."""
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TWO_DEVICES, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
    )

    assert float(done.stdout.split()[-1]) < 1e-5
