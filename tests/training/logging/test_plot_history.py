"""The numbers of runs become a picture."""

import math

import numpy as np
import pytest
from PIL import Image

from keras_vit import cli
from keras_vit.training.logging import plot_history

ROWS = "epoch,loss,top1,val_loss,val_top1,learning_rate\n"


@pytest.fixture
def run(tmp_path):
    """Folder of a run of three epochs, one number missing."""
    folder = tmp_path / "one"
    folder.mkdir()
    rows = "1,2.0,0.1,2.1,0.1,0.001\n2,1.0,0.5,NA,0.4,0.0005\n3,0.5,0.8,0.9,0.7,0\n"
    (folder / "history.csv").write_text(ROWS + rows)
    return folder


def test_a_folder_and_its_table_mean_the_same(run):
    """What is no number becomes NaN, the count of epochs is left out."""
    numbers = plot_history.read_curves(run)

    assert [2.0, 1.0, 0.5] == numbers["loss"] and "epoch" not in numbers
    assert math.isnan(numbers["val_loss"][1])
    assert numbers["top1"] == plot_history.read_curves(run / "history.csv")["top1"]


def test_the_command_draws_each_number(run, capsys):
    """A panel each; both runs in their colours; the best is told."""
    other = run.parent / "two"
    other.mkdir()
    (other / "history.csv").write_text(ROWS + "1,1.5,0.2,1.6,0.3,0.001\n")
    target = run.parent / "curves.png"
    words = ["plot", str(run), str(other / "history.csv"), "--output", str(target)]

    assert 0 == cli.main(words)
    said = capsys.readouterr().out
    assert "val_top1 0.7000" in said and str(target) in said
    picture = np.asarray(Image.open(target))
    columns, rows = 2, 2  # loss, top1, learning_rate
    size = columns * plot_history.WIDTH, plot_history.HEAD + rows * plot_history.HEIGHT
    assert size == picture.shape[1::-1]
    for colour in plot_history.COLOURS[:2]:
        rgb = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        near = np.abs(picture.astype(int) - rgb).max(axis=-1) < 8
        assert near[: plot_history.HEAD].any() and near[plot_history.HEAD :].any()
    assert 2 == cli.main(words), "an existing picture must stay"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda f: f / "none", "no such table. Give the folder"),
        (lambda f: (f / "history.csv").write_text(ROWS) and f, "a row per epoch, got"),
    ],
)
def test_what_cannot_be_drawn_is_explained(run, make, message, capsys):
    """The message has the path and the way out."""
    assert 2 == cli.main(["plot", str(make(run)), "--output", str(run / "c.png")])
    assert message in capsys.readouterr().err


def test_the_picture_must_be_a_png(run):
    """Nothing else is written."""
    with pytest.raises(ValueError, match=r"must end in .png, got 'c.gif'"):
        plot_history.draw_curves({"one": plot_history.read_curves(run)}, run / "c.gif")


def test_a_constant_has_a_scale():
    """A flat curve lies between two levels."""
    levels = plot_history.ticks(0.5, 0.5)

    assert levels[0] <= 0.5 <= levels[-1] and levels[0] < levels[-1]
