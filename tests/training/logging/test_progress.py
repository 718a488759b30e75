"""The line of a training run, on a terminal and in a log."""

import types

import pytest

from keras_vit import progress
from keras_vit.training.logging.progress import ShowProgress


@pytest.mark.parametrize("live", [True, False])
def test_a_log_has_lines_and_a_terminal_one(live, capsys, monkeypatch):
    """Without control characters in a log; renewed on a terminal."""
    monkeypatch.setattr(progress, "is_live", lambda: live)
    monkeypatch.setattr(progress, "RENEWED", 0.0)
    monkeypatch.setattr(ShowProgress, "noted", 0.0)
    shown = ShowProgress(batch_size=8, epochs=1, verbose=1)
    shown.set_params({"steps": 40})
    rate = types.SimpleNamespace(learning_rate=0.5)
    shown.set_model(types.SimpleNamespace(optimizer=rate))
    shown.on_epoch_begin(0)
    for step in range(40):
        shown.on_train_batch_begin(step)
        shown.on_train_batch_end(step, {"loss": 1.0})
    shown.on_epoch_end(0, {"loss": 1.0})
    said = capsys.readouterr().out

    assert said.count("\n") == (1 if live else 11)
    assert ("\r" in said) == ("━" in said) == live
    assert "Epoch 1/1 4/40" in said and "lr 0.5" in said and "images/s" in said
