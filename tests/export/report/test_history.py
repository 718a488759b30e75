"""Training curves and the small pictures of the report."""

import numpy as np
import pytest

from keras_vit.export.report import history, svg

HISTORY = {
    "loss": [2.0, 1.0, float("nan")],
    "val_loss": [2.1, 1.2, 1.1],
    "accuracy": [0.2, 0.6, 0.9],
    "val_accuracy": [0.1, 0.5, 0.7],
    "learning_rate": [1e-3, 1e-3, 1e-4],
}


def test_history_comes_in_several_forms(tmp_path):
    """Dict, Keras History and CSVLogger file mean the same."""
    import keras

    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,2.0,NA\n1,1.0,1.5\n")
    kept = keras.callbacks.History()
    kept.history = {"loss": [2.0, 1.0]}

    assert [2.0, 1.0] == history.read_history(tmp_path / "log.csv")["loss"]
    assert np.isnan(history.read_history(tmp_path / "log.csv")["val_loss"][0])
    assert {"loss": [2.0, 1.0]} == history.read_history(kept)
    assert {} == history.read_history(None)
    (tmp_path / "empty.csv").write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="at least one epoch"):
        history.read_history(tmp_path / "empty.csv")


def test_losses_come_before_accuracies():
    """Panels pair training with validation and leave the schedule out."""
    found = history.panels(dict(reversed(HISTORY.items())))

    assert ["loss", "accuracy"] == list(found)
    assert ["training", "validation"] == list(found["loss"])


def test_curves_survive_gaps_and_flat_lines():
    """NaN leaves a gap, a constant is drawn, nothing to draw is empty."""
    assert "" == svg.curves({"training": [float("nan")]}, "t")
    flat = svg.curves({"training": [0.5, 0.5, None]}, "a < b")

    assert "nan" not in flat and "a &lt; b" in flat
    assert 1 == flat.count("<polyline")


def test_heat_is_brightest_where_the_weights_are():
    """The overlay follows the map and is large enough to see."""
    weights = np.zeros((4, 4))
    weights[3, 0] = 1.0

    shown = svg.with_heat(np.full((8, 8, 1), 99, "uint8"), weights)

    assert (160, 160, 3) == shown.shape
    red = shown[..., 0].astype(int)
    assert red[150, 10] > red[10, 150] + 50
