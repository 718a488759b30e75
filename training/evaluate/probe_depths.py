"""A linear probe at every depth of a model: where in it do its features lie?"""

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np

from keras_vit import files
from keras_vit.models.feature_extraction import every_depth
from keras_vit.progress import Bar
from keras_vit.training.evaluate.features import collect
from keras_vit.training.evaluate.linear_probe import (
    choose_penalty,
    logistic,
    standardised,
)
from keras_vit.types import FilePath

WIDTH, HEIGHT = 6.4, 3.8  # inches


@dataclasses.dataclass(frozen=True)
class DepthCurve:
    """What a linear probe reads at each depth; the last is the end of the model.

    Args:
        held_out: top-1 on a tenth of the training images, held out, by depth.
        top1: on the test images, by depth.
    """

    held_out: tuple
    top1: tuple

    @property
    def best(self) -> int:
        """The depth that does best on the held-out images; the first among equals."""
        return int(np.argmax(np.nan_to_num(self.held_out)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "best": self.best}


def depth_probe(
    model: keras.Model | None,
    train: Any,
    test: Any,
    pooling: str | None = None,
    seed: int = 0,
    verbose: int = 1,
) -> DepthCurve:
    """Train a linear classifier at every depth of a frozen model.

    The depth is to be chosen by the held-out images: the best of many scores on the
    test images would flatter.

    Args:
        model, pooling: as in `keras_vit.models.feature_extraction.every_depth`; None
            when `train` and `test` are (features (N, depths, D), labels (N,)) already.
        train: images to learn from, (images, labels). test: images to score.
        seed: of the held-out tenth.
        verbose: 1 shows progress.

    Returns:
        `DepthCurve`.

    Raises:
        ValueError: for a model without blocks, or a single class.

    Source:
        Chen et al. 2020, fig. 2 and section 4.1, with the logistic regression that it
        uses on CIFAR-10.
    """
    if model is not None:
        model = every_depth(model, pooling)
        train, test = (collect(model, part, verbose) for part in (train, test))
    (x, y), (x_test, y_test) = train, test
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"train: must hold two classes or more, got only class {y[0]}. Check the "
            "split."
        )
    progress = Bar(x.shape[1], "depth", verbose)
    held_out, top1 = [], []
    for depth in range(x.shape[1]):
        rows, test_rows = standardised(x[:, depth], x_test[:, depth])
        penalty, share = choose_penalty(rows, y, seed)
        predict = logistic(rows, y, penalty)
        held_out.append(share)
        top1.append(float(np.mean(predict(test_rows) == y_test)))
        progress.add(1)
    return DepthCurve(tuple(held_out), tuple(top1))


def plot_depths(
    curves: dict[str, DepthCurve], path: FilePath, overwrite: bool = False
) -> pathlib.Path:
    """Draw probe accuracy over depth as a PNG, a line per model.

    A ring marks the depth that the held-out images choose.

    Args:
        curves: name -> `DepthCurve`. path: of the PNG.
        overwrite: whether an existing file may be replaced.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: for no curve, or a path that is no PNG.
        FileExistsError: when it exists and overwrite is False.
        ImportError: without matplotlib.
    """
    path, drawing = check_picture(path, overwrite)
    if not curves:
        raise ValueError("curves: must be one or more, got none. Probe a model first.")
    figure, axes = drawing.figure(WIDTH, HEIGHT)
    drawing.rule(axes)
    for rank, (name, curve) in enumerate(curves.items()):
        shares = [100 * share for share in curve.top1]
        colour = drawing.among(rank, len(curves))
        axes.plot(shares, color=colour, label=name, marker=".")
        ring = {"s": 90, "facecolors": "none", "edgecolors": [colour]}
        axes.scatter([curve.best], [shares[curve.best]], **ring)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("depth: blocks passed")
    axes.set_ylabel("linear probe, % of the test images")
    drawing.letter(axes.legend(frameon=False, fontsize=8).get_texts())
    with files.replacing(path, overwrite) as partial:
        figure.savefig(partial, format="png")
    return path


def check_picture(path, overwrite=False):
    """Make sure that a picture can be drawn, before any slow step.

    Returns:
        `pathlib.Path`, and the module that draws.

    Raises:
        As `plot_depths`.
    """
    from keras_vit.introspect import drawing

    if pathlib.Path(path).suffix.lower() != ".png":
        raise ValueError(f"picture: must end in .png, got {str(path)!r}.")
    drawing.figure(1, 1)  # tells when matplotlib is missing
    return files.check_target(path, overwrite), drawing
