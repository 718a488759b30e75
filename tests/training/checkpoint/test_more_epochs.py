"""More epochs for a finished run, and an end before the last one."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_vit import training
from keras_vit.training.methods import early_stopping

SMALL = {"patch_size": 8, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 16}
RNG = np.random.default_rng(0)
DATA = RNG.integers(0, 256, (20, 16, 16, 3), "uint8"), np.arange(20) % 2
OPTIONS = {
    "recipe": training.Recipe(name="own", model={**SMALL, "dropout": 0.1}),
    "data": DATA,
    "batch_size": 6,
    "image_size": 16,
    "augment": "none",
    "save_minutes": 0,
    "verbose": 0,
}


class StopIn(keras.callbacks.Callback):
    """Press Ctrl-C behind the first step of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.stop, self.epoch = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.stop:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return training.fit(output_dir=path, epochs=2, monitor="val_loss", **OPTIONS)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished.output_dir, tmp_path / "run")


def saved(folder):
    """Weights of the last and the best model, and the log."""
    models = [keras.saving.load_model(folder / f"{n}.keras") for n in ("last", "best")]
    return [m.get_weights() for m in models], (folder / "history.csv").read_text()


def test_a_finished_run_gets_more_epochs(finished, folder):
    """Rows and best model are those of both; the folder is finished again."""
    result = training.go_on(folder, 1, DATA, verbose=0)

    assert 3 == len(result.history["loss"]) and result.weights.startswith("file ")
    for name, values in finished.history.items():
        assert values == result.history[name][:2]
    scores = result.history["val_loss"]
    assert min(scores) == scores[result.best_epoch - 1]
    assert not (folder / "states").exists()
    recipe = json.loads((folder / "recipe.json").read_text())["recipe"]
    assert (3, 2) == (recipe["epochs"], recipe["after"])
    assert result.history["learning_rate"][1] == 0 == result.history["learning_rate"][2]


@pytest.mark.slow
def test_more_epochs_that_were_stopped_go_on(folder, tmp_path):
    """With the same call, to the same end; another number of epochs is refused."""
    whole = shutil.copytree(folder, tmp_path / "whole")
    training.go_on(whole, 2, DATA, verbose=0)
    for epoch in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            training.go_on(folder, 2, DATA, verbose=0, callbacks=[StopIn(epoch)])
    with pytest.raises(FileExistsError, match="must be finished"):
        training.go_on(folder, 3, DATA, verbose=0)
    training.go_on(folder, 2, DATA, verbose=0)

    (expected, log), (got, other) = saved(whole), saved(folder)
    assert log == other
    for one, two in zip(expected, got, strict=True):
        assert all(map(np.array_equal, one, two))


def test_there_must_be_a_finished_run(folder, tmp_path):
    """A folder without one, a run that was stopped, no epochs."""
    with pytest.raises(FileNotFoundError, match="got none with recipe.json"):
        training.go_on(tmp_path, 1)
    with pytest.raises(ValueError, match="above 0, got 0"):
        training.go_on(folder, 0)
    (folder / "states").mkdir()
    with pytest.raises(FileExistsError, match="Make its own call again"):
        training.go_on(folder, 1)


def test_a_run_that_gets_no_better_ends(tmp_path, capsys):
    """After so many epochs; one that was stopped ends where it would have ended."""
    call = {**OPTIONS, "epochs": 9, "patience": 2, "learning_rate": 0.0}
    call |= {"output_dir": tmp_path, "verbose": 2}
    with pytest.raises(KeyboardInterrupt):
        training.fit(callbacks=[StopIn(2)], **call)
    result = training.fit(**call)

    assert 3 == len(result.history["loss"])
    said = capsys.readouterr().out
    assert (
        "no better val_top1 for 2 epochs" in said and not (tmp_path / "states").exists()
    )
    assert said.startswith("weights: RANDOM, VisionTransformer is built anew\n")


def test_only_a_better_score_counts():
    """Not an equal one, and no NaN."""
    assert 2 == early_stopping.epochs_since_best([0.9, 0.9, float("nan")], "val_top1")
    assert 1 == early_stopping.epochs_since_best([0.9, 0.1, 0.1], "val_loss")
    assert 1 == early_stopping.epochs_since_best([float("nan")] * 2, "val_loss")
