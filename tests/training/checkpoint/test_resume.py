"""A run that was stopped goes on, and ends as if nothing had happened."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_vit import training
from keras_vit.training.checkpoint import run_folder, state_callback, train_state

SMALL = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
OPTIONS = {
    "recipe": "digits",
    "epochs": 4,
    "batch_size": 256,
    "ema": 0.9,
    "steps_per_execution": 1,
    "save_minutes": 0,
    "verbose": 0,
}
RANDOM = {**OPTIONS, "model": {**SMALL, "drop_path": 0.1, "dropout": 0.1}}
SCRIPT = f"""
import sys
from keras_vit import training
from keras_vit.training.checkpoint import state_callback
state_callback.KeepState.rest = 0  # a state after each step
training.fit(output_dir=sys.argv[1], **{RANDOM!r})
"""


class StopIn(keras.callbacks.Callback):
    """Press Ctrl-C in the second step of an epoch, or in its validation."""

    def __init__(self, epoch, moment):
        super().__init__()
        self.stop, self.moment, self.epoch = epoch, moment, 0
        self.heard = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.heard.append((self.epoch, batch))
        if self.moment == "step" and self.epoch == self.stop and batch == 1:
            signal.raise_signal(signal.SIGINT)

    def on_test_batch_end(self, batch, logs=None):
        if self.moment == "validation" and self.epoch == self.stop:
            raise KeyboardInterrupt


class Whole(NamedTuple):
    """A run that is never stopped, and its folder as it was in the middle."""

    result: training.Result
    killed: pathlib.Path


@pytest.fixture(scope="module")
def whole(plain, tmp_path_factory):
    """The run that is never stopped; the disk as SIGKILL in a write would leave it."""
    folder = tmp_path_factory.mktemp("whole")
    replace = os.replace

    def copy_first(source, target):
        if "state-000000006.npz" == pathlib.Path(target).name:
            shutil.copytree(folder / "run", folder / "killed")
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_callback.KeepState, "rest", 0)  # a state after each step
        patch.setattr(os, "replace", copy_first)
        result = training.fit(model=plain(), output_dir=folder / "run", **OPTIONS)
    return Whole(result, folder / "killed")


def saved(folder):
    """Weights of the last and the best model, and the log."""
    models = [keras.saving.load_model(folder / f"{n}.keras") for n in ("last", "best")]
    arrays = [array for model in models for array in model.get_weights()]
    return arrays, (folder / "history.csv").read_text()


def assert_same_end(expected, got):
    """Bit for bit, in every weight and every number of the log."""
    for one, other in zip(saved(expected)[0], saved(got)[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert saved(expected)[1] == saved(got)[1]


@pytest.mark.parametrize("epoch, moment", [(0, "validation"), (2, "step")])
def test_ctrl_c_and_the_same_call_again(whole, plain, tmp_path, epoch, moment):
    """All is as in one piece; another recipe is refused, with both values."""
    stop, go = StopIn(epoch, moment), StopIn(None, None)
    call = {**OPTIONS, "output_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        training.fit(model=plain(), callbacks=[stop], **call)
    with pytest.raises(FileExistsError, match="learning_rate=.* then and 0.5 now"):
        training.fit(model=plain(), **{**call, "learning_rate": 0.5})
    assert list((tmp_path / "states").iterdir())
    result = training.fit(model=plain(), callbacks=[go], **call)

    assert [(e, b) for e in range(4) for b in range(4)] == stop.heard + go.heard
    assert_same_end(whole.result.output_dir, tmp_path)
    expected = whole.result.history, whole.result.best_epoch
    assert expected == (result.history, result.best_epoch)
    assert not (tmp_path / "states").exists()
    with pytest.raises(FileExistsError, match="must not hold an earlier run"):
        training.fit(model=plain(), **call)


def state_of(step):
    """A state with one array, behind a step."""
    return train_state.TrainState(step=step, variables={"a": np.full(3, step)})


def test_a_state_is_what_was_written(tmp_path):
    """Every field comes back, each array in its place."""
    folder = train_state.StateFolder(tmp_path / "states")
    folder.open()
    state = train_state.TrainState(
        epoch=2,
        step=3,
        variables={"00000 kernel": np.arange(4.0)},
        metrics={"score 00000 total": np.ones((1,))},
        best=train_state.BestModel(2, 0.5, (np.ones(2), np.zeros(3))),
        history={"loss": [1.0, 0.5]},
        logs={"loss": 0.25},
    )
    folder.write(11, state)
    found = folder.newest()

    arrays, facts = state.to_file()
    again, same = found.to_file()
    assert facts == same and list(arrays) == list(again)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert 2 == len(found.best.weights) and not train_state.TrainState().begun


def test_a_state_of_another_version_is_refused(tmp_path):
    """What it lacks or has more is named, with the ways out."""
    folder = train_state.StateFolder(tmp_path / "states")
    folder.open()
    folder.write(1, state_of(1))
    note = folder.newest_path().with_suffix(".json")
    note.write_text(note.read_text().replace('"history"', '"curves"'))

    with pytest.raises(FileExistsError, match="curves, history missing.*overwrite"):
        folder.newest()


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path):
    """Half a file, a wrong sum, or a missing note: the older state is whole."""
    folder = train_state.StateFolder(tmp_path / "states")
    folder.open()
    for steps in range(4):
        folder.write(steps, state_of(steps))
    oldest, middle, newest = sorted(folder.path.glob("*.npz"))

    assert newest == folder.newest_path() and 3 == folder.newest().step
    newest.write_bytes(newest.read_bytes()[:-9])
    state = folder.newest()
    assert 2 == state.step and [2, 2, 2] == state.variables["a"].tolist()
    middle.with_suffix(".json").unlink()
    assert oldest == folder.newest_path()
    oldest.write_bytes(oldest.read_bytes() + b"x")
    assert folder.newest() is None


def test_work_is_not_deleted_where_no_state_is_whole(tmp_path):
    """Damaged states beside other files: these and the ways out are named."""
    recipe = training.get_recipe(OPTIONS["recipe"], epochs=4)
    folder = run_folder.RunFolder(tmp_path)
    folder.states.open()
    folder.recipe.write_text(json.dumps({"recipe": run_folder.plain(recipe)}))
    call = {"recipe": recipe, "output_dir": tmp_path, "verbose": 0}
    folder.best.write_text("best")
    folder.history.write_text("epoch")
    folder.states.write(7, state_of(7))
    state = folder.states.newest_path()
    state.write_bytes(state.read_bytes()[:-5])
    with pytest.raises(FileExistsError, match=r"0+7.npz \(damaged\).*best.keras, hist"):
        training.fit(**call)
    assert folder.history.exists() and state.exists()

    state.with_suffix(".json").unlink()  # killed before its first state was whole
    assert not run_folder.RunFolder(tmp_path, resumes=True).state().begun
    folder.states.close()
    folder.states.close()
    assert ["best.keras", "history.csv", "recipe.json"] == sorted(os.listdir(tmp_path))


def test_a_run_does_not_go_on_with_other_data(write_folder, plain, tmp_path):
    """An image that is gone, or one that cannot be read: then and now."""
    source = write_folder(tmp_path / "photos")
    call = {
        "recipe": "digits",
        "model": plain(2),
        "data": f"folder:{source}",
        "output_dir": tmp_path / "run",
        "batch_size": 4,
        "augment": "none",
        "on_bad_image": "skip",
        "steps_per_execution": 1,
        "verbose": 0,
    }
    with pytest.raises(KeyboardInterrupt):
        training.fit(callbacks=[StopIn(0, "step")], **call)
    lost = sorted((source / "b").iterdir())[-1]
    pixels = lost.read_bytes()
    for changed, message in ((None, "'train': .* then and .* now"), (b"x", "skipped=")):
        lost.unlink() if changed is None else lost.write_bytes(changed)
        with pytest.raises(FileExistsError, match=f"other data, got .*{message}.*back"):
            training.fit(**call)
    lost.write_bytes(pixels)
    with pytest.raises(KeyboardInterrupt):
        training.fit(callbacks=[StopIn(0, "validation")], **call)


def test_what_a_killed_process_was_writing_is_swept_away(tmp_path):
    """Whole files stay."""
    folder = run_folder.RunFolder(tmp_path)
    folder.states.open()
    for path in (folder.best, folder.history, folder.states.path / "state-01.npz"):
        path.write_text("whole")
        (path.parent / f".{path.name}.x7").mkdir()
    folder.sweep()

    assert ["best.keras", "history.csv", "states"] == sorted(os.listdir(tmp_path))
    assert ["state-01.npz"] == os.listdir(folder.states.path)


def test_a_state_of_another_model_is_refused(tiny):
    """Variables that differ are named."""
    one, other = tiny(classes=2), tiny(classes=3)
    for model in (one, other):
        model.compile("sgd", "mse")
        model.optimizer.build(model.trainable_variables)

    with pytest.raises(ValueError, match="same model.*bias.*overwrite=True"):
        train_state.restore(other, train_state.capture(one))


def start(folder):
    """The run as a process of its own."""
    root = pathlib.Path(__file__).resolve().parents[3]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition, process):
    """Until something holds, or the process has ended."""
    while process.poll() is None and not condition():
        time.sleep(0.005)


def steps_done(folder):
    """Steps of the newest state of a run, 0 where there is none."""
    notes = (folder / "states").glob("state-*.json")
    return max((int(note.stem.split("-")[1]) for note in notes), default=0)


def test_what_a_kill_leaves_goes_on(whole, plain):
    """From the disk as it was while a state was written, to the end: the same."""
    assert 5 == steps_done(whole.killed)
    assert list((whole.killed / "states").glob(".state*"))
    go = StopIn(None, None)
    training.fit(model=plain(), output_dir=whole.killed, callbacks=[go], **OPTIONS)

    assert [(e, b) for e in range(4) for b in range(4)][5:] == go.heard
    assert_same_end(whole.result.output_dir, whole.killed)


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path):
    """A transformer, SIGKILL while a state is written, then to the end: the same."""
    training.fit(output_dir=tmp_path / "whole", **RANDOM)
    folder = tmp_path / "killed"
    process = start(folder)

    def in_a_write():
        return steps_done(folder) >= 5 and list((folder / "states").glob(".state*"))

    wait_for(in_a_write, process)
    process.kill()
    assert -signal.SIGKILL == process.wait()

    assert 0 == start(folder).wait()
    assert_same_end(tmp_path / "whole", folder)
