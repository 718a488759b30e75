"""What goes wrong in hour ten: numbers that are none, a full disk."""

import csv
import json
import os
import resource
import subprocess

import keras
import numpy as np
import pytest

from keras_vit import training
from keras_vit.training.checkpoint import retry_write, state_callback, train_state
from keras_vit.training.data.pipeline import open_data

OPTIONS = {
    "recipe": "digits",
    "epochs": 3,
    "batch_size": 256,
    "steps_per_execution": 1,
    "save_minutes": 0,
    "verbose": 2,
}
STEPS = 4  # of an epoch


class Spoil(keras.callbacks.Callback):
    """Put NaN into a weight after a step of the second epoch."""

    epoch = 0
    good = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            self.good = self.model.get_weights()
            weight = self.model.trainable_variables[-1]
            weight.assign(np.full(weight.shape, np.nan))


def test_a_loss_that_is_no_number_is_told_with_its_images(plain, tmp_path, monkeypatch):
    """Step, images and the last good state; its weights are in last.keras."""
    monkeypatch.setattr(state_callback.KeepState, "rest", 0)
    spoil = Spoil()
    with pytest.raises(FloatingPointError) as caught:
        training.fit(model=plain(), output_dir=tmp_path, callbacks=[spoil], **OPTIONS)
    said = str(caught.value)
    found = json.loads((tmp_path / "bad_batch.json").read_text())
    source, feed, _ = open_data("digits", batch_size=256, verbose=0)
    expected = feed.names(source.split("train"), STEPS + 2)
    saved = keras.saving.load_model(tmp_path / "last.keras").get_weights()

    assert "got loss nan in step 3 of epoch 2 (after 6 good steps)" in said
    assert ", ".join(expected[:3]) in said and expected == found["images"]
    assert "good state is that of epoch 2, step 2" in said
    assert "state-000000006.npz" in said and "Lower learning_rate" in said
    for one, other in zip(spoil.good, saved, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 6 == train_state.StateFolder(tmp_path / "states").newest().step + STEPS


def test_a_loss_above_the_limit_ends_the_run(plain, tmp_path):
    """The limit, the loss and the way out are in the message."""
    with pytest.raises(FloatingPointError, match="must stay below 0.5, got loss 2.*"):
        training.fit(model=plain(), output_dir=tmp_path, loss_limit=0.5, **OPTIONS)

    assert not (tmp_path / "best.keras").exists()
    with pytest.raises(ValueError, match="loss_limit: must be a number.*got -1"):
        training.get_recipe("digits", loss_limit=-1)


class NowAndThen(keras.callbacks.Callback):
    """Adds a score in the second epoch alone, and ends the run after the third."""

    adds_scores = True

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            logs["mine"] = 1.0
        self.model.stop_training = epoch == 2


def test_a_run_may_end_early_with_scores_now_and_then(plain, tmp_path, capsys):
    """What is missing is NaN; a run that has ended does not promise to go on."""
    call = {**OPTIONS, "model": plain(), "epochs": 8, "output_dir": tmp_path}
    history = training.fit(callbacks=[NowAndThen()], **call).history
    with open(tmp_path / "history.csv", newline="") as file:
        column = [row["mine"] for row in csv.DictReader(file)]

    assert ["nan", "1.0", "nan"] == [str(score) for score in history["mine"]] == column
    assert "3 of 8 epochs. Best" in (said := capsys.readouterr().out)
    assert "goes on" not in said


def test_names_are_the_images_of_the_batch(tmp_path):
    """Those that the stream delivers, as files where they are files."""
    source, feed, _ = open_data("digits", batch_size=7, augment="none", verbose=0)
    split = source.split("train")
    numbers = [int(name.split()[1]) for name in feed.names(split, 300)]
    _, labels = next(iter(feed.stream(split, 300)))

    np.testing.assert_array_equal(split.labels[numbers], labels)


class FullDisk(keras.callbacks.Callback):
    """No file may grow in the middle of a run."""

    def __init__(self):
        super().__init__()
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_epoch_begin(self, epoch, logs=None):
        limit = 16 if epoch == 1 else self.before[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, self.before[1]))


def test_a_full_disk_is_told_and_training_goes_on(plain, tmp_path, capsys, monkeypatch):
    """What could not be written is written when there is space again."""
    monkeypatch.setattr(
        state_callback.KeepState, "rest", 0.0
    )  # a slow write delays the next
    full = FullDisk()
    try:
        result = training.fit(
            model=plain(), output_dir=tmp_path, callbacks=[full], **OPTIONS
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, full.before)
    said = capsys.readouterr().out
    with open(result.output_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))

    for what in ("the state of the run", "the history", "event files"):
        assert 1 == said.count(f"Cannot write {what}, going on")
        assert 1 == said.count(f"There is space again: {what} is written.")
    assert list("123") == [row["epoch"] for row in rows]
    assert keras.saving.load_model(tmp_path / "last.keras")
    assert [] == [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_the_end_of_a_run_waits_for_space(capsys):
    """It is told once, and written as soon as it can be."""
    attempts = []

    def write():
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError(28, "No space left on device")

    retry_write.Patience("the model").insist(write, seconds=0)
    said = capsys.readouterr().out

    assert 3 == len(attempts)
    assert 1 == said.count("Cannot write the model, going on: [Errno 28]")
    assert "Ctrl-C gives it up" in said and "There is space again" in said


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs the right to mount a disk of memory")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


class FillDisk(keras.callbacks.Callback):
    """Fill a disk in the second epoch, free it in the third."""

    def __init__(self, folder):
        super().__init__()
        self.rubbish = folder / "rubbish"

    def on_epoch_begin(self, epoch, logs=None):
        self.rubbish.unlink(missing_ok=True)
        if epoch == 1:
            with pytest.raises(OSError, match="No space"):
                self.rubbish.write_bytes(b"x" * 2**22)


@pytest.mark.slow
def test_a_real_disk_may_be_full(plain, small_disk, tmp_path_factory, capfd):
    """The run ends as one with space does."""
    free = tmp_path_factory.mktemp("free")
    fill = FillDisk(small_disk)
    options = {**OPTIONS, "output_dir": small_disk / "run"}
    training.fit(model=plain(), callbacks=[fill], **options)
    said = capfd.readouterr().out
    training.fit(model=plain(), **{**options, "output_dir": free})
    models = [
        keras.saving.load_model(f / "best.keras") for f in (small_disk / "run", free)
    ]

    assert "Cannot write the state of the run" in said
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
