"""Many encoders, the same probes: one table, a row per encoder."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit import files
from keras_vit.models.feature_extraction import (
    encoder,
    every_depth,
    has_depths,
    pixel_trunk,
)
from keras_vit.models.input_range import assumed
from keras_vit.preprocess import Preprocessing
from keras_vit.private_keras import print_msg
from keras_vit.progress import tell
from keras_vit.training.data import load_split
from keras_vit.training.evaluate.features import collect
from keras_vit.training.evaluate.probe_depths import (
    DepthCurve,
    depth_probe,
    plot_depths,
)
from keras_vit.training.evaluate.probes import KNOWN, PROBES, check_kinds, probes
from keras_vit.training.tasks import task_of
from keras_vit.types import Config, FilePath

PIXELS = "pixels"  # stands for a model: what the probes read out of the image itself
PIXELS_SIDE = 32  # px of it
KINDS = (*KNOWN, "depth")
DIGITS = ("", *"0123456789%")  # ends of numbers and of empty cells
HEADS = {"linear_top1": "linear", "lars_top1": "LARS", "knn_top1": "kNN"}


@dataclasses.dataclass(frozen=True)
class Row:
    """What the probes say about one encoder.

    Args:
        name: of the encoder. kind: class or name of the model.
        parameters: of the encoder, without heads and decoders.
        features: D. depth: where an image GPT was read; None is the end.
        scores: as of `probes`. curve: `DepthCurve` or None.
    """

    name: str
    kind: str
    parameters: int
    features: int
    depth: int | None
    scores: dict
    curve: DepthCurve | None = None

    def to_dict(self):
        """Plain values, for JSON."""
        facts = {field.name: getattr(self, field.name) for field in FIELDS}
        curve = {} if self.curve is None else {"curve": self.curve.to_dict()}
        return {**facts, **self.scores, **curve}


FIELDS = [f for f in dataclasses.fields(Row) if f.name not in ("scores", "curve")]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of encoders.

    Args:
        data: source of the images. split: that was scored.
        counts: images to learn from, images scored. rows: tuple of `Row`.
    """

    data: str
    split: str
    counts: tuple
    rows: tuple

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "train_images": self.counts[0],
            "test_images": self.counts[1],
            "encoders": [row.to_dict() for row in self.rows],
        }

    def __str__(self):
        """The table in Markdown, shares in percent of the scored images."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.scores))
        heads = ["encoder", "model", "parameters", "features"]
        heads += [_head(name) for name in names]
        deep = any(row.curve for row in self.rows)
        lines = [heads + ["best depth"] * deep]
        for row in self.rows:
            kind = row.kind if row.depth is None else f"{row.kind}, depth {row.depth}"
            cells = [row.name, kind, f"{row.parameters:,}", str(row.features)]
            cells += [_percent(row.scores.get(name)) for name in names]
            lines.append(cells + [_best(row.curve)] * deep)
        return _markdown(lines)

    def plot_depths(self, path: FilePath, overwrite: bool = False) -> pathlib.Path:
        """Draw the curves over depth of all rows that have one; see `plot_depths`."""
        curves = {row.name: row.curve for row in self.rows if row.curve}
        return plot_depths(curves, path, overwrite)


def compare(
    encoders: dict[str, keras.Model | str],
    data: Any,
    kinds: Sequence[str] = PROBES,
    split: str | None = None,
    pooling: str | None = None,
    batch_size: int = 64,
    on_bad_image: str = "refuse",
    verbose: int = 1,
) -> Comparison:
    """Judge encoders by the same probes on the same images.

    Features are computed once per encoder. An image GPT is read at the depth whose
    linear probe does best on a tenth of the training images, held out.

    Args:
        encoders: name -> model: a classifier, an encoder, a model that learns without
            labels, or "pixels" for the image itself at 32 px, a floor. `untrained`
            gives another floor.
        data: source for `load_split`; its training split is learnt from.
        kinds: as in `probes`, and "depth": a linear probe at every depth of the models
            that have blocks.
        split: to score; None is test where there is one, else validation.
        pooling: see `keras_vit.models.feature_extraction.encoder`.
        batch_size, on_bad_image, verbose: as in `load_split`.

    Returns:
        `Comparison`, rows in the order given.

    Raises:
        ValueError: for a model that gives no vector, an unknown kind or pooling;
            before anything is computed.
        DataError, FileNotFoundError: for data that cannot be used.
        MemoryError: when the features of an encoder do not fit.
    """
    check_kinds(kinds, KINDS)
    if not encoders:
        raise ValueError("encoders: must be one or more, got none. Name a model.")
    readers = [_open(*pair, kinds, pooling) for pair in encoders.items()]
    if "depth" in kinds and not any(reader.depths for reader in readers):
        raise ValueError(
            "depth: needs a model with transformer blocks, got "
            f"{', '.join(encoders)} without. Leave it out."
        )
    how: Config = {
        "batch_size": batch_size,
        "on_bad_image": on_bad_image,
        "verbose": verbose,
    }
    parts = {}
    for note in dict.fromkeys(reader.note for reader in readers):
        train, learnt = load_split(data, "train", preprocessing=note, **how)
        test, info = load_split(data, split, preprocessing=note, **how)
        parts[note] = train, test
    tested = split or info.test_split
    counts = learnt.counts["train"], info.counts[tested]
    for reader in readers:
        reader.check_memory(sum(counts))
    rows = _judge_all(readers, parts, kinds, verbose)
    return Comparison(info.source, tested, counts, rows)


def _judge_all(readers, parts, kinds, verbose):
    """A `Row` per encoder; `parts` are the data, by the note of their images."""
    rows = []
    for number, reader in enumerate(readers, 1):
        if verbose:
            print_msg(f"{reader.name} ({number} of {len(readers)})")
        rows.append(_judge(reader, *parts[reader.note], kinds, verbose))
    return tuple(rows)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One encoder, opened.

    Args:
        name, kind: as in `Row`. note: `Preprocessing` of its images.
        model: images -> (B, D), or None where `depths` has the features.
        depths: images -> (B, depths, D), or None. parameters: of the encoder.
    """

    name: str
    kind: str
    note: Preprocessing
    model: Any
    depths: Any
    parameters: int

    def check_memory(self, images):
        """Refuse features that do not fit."""
        shapes = (getattr(m, "output_shape", ()) for m in (self.model, self.depths))
        values = sum(int(np.prod(shape[1:])) for shape in shapes if shape)
        files.check_memory(f"features of {self.name}", 8 * images * values)


class _Pixels:
    """The image itself as features."""

    output_shape = (None, 3 * PIXELS_SIDE**2)

    def predict_on_batch(self, images):
        """(B, H, W, C) -> (B, H*W*C)."""
        return np.reshape(images, (len(images), -1))


def _open(name, model, kinds, pooling):
    """See to it that a model can be read, before anything is computed."""
    if isinstance(model, str) and model == PIXELS:
        note = Preprocessing(image_size=(PIXELS_SIDE,) * 2)
        return _Reader(name, PIXELS, note, _Pixels(), None, 0)
    try:
        reads_pixels = task_of(model).own_loss and pixel_trunk(model)
        found = encoder(model, pooling)
        deep = reads_pixels or ("depth" in kinds and has_depths(model))
        depths = every_depth(model, pooling) if deep else None
    except ValueError as err:
        raise ValueError(f"{name}: {err}") from err
    kind = type(model).__name__ if task_of(model).own_loss else model.name
    note, said = assumed(model)
    if said:
        tell(f"{name}: {said}.")
    parameters = found.count_params()
    if reads_pixels:
        parameters -= reads_pixels.head.count_params()
    return _Reader(
        name, kind, note, None if reads_pixels else found, depths, parameters
    )


def _judge(reader, train, test, kinds, verbose):
    """The row of one encoder."""
    curve = depth = None
    if reader.depths is not None:
        deep = [collect(reader.depths, part, verbose) for part in (train, test)]
        curve = depth_probe(None, *deep, verbose=verbose)
    if reader.model is not None:
        pairs = [collect(reader.model, part, verbose) for part in (train, test)]
    else:
        depth = curve.best
        pairs = [(found[:, depth], labels) for found, labels in deep]
    wanted = [kind for kind in kinds if kind in KNOWN]
    scores = probes(None, *pairs, wanted, verbose=0) if wanted else {}
    facts = reader.name, reader.kind, reader.parameters, pairs[0][0].shape[1]
    return Row(*facts, depth, scores, curve)


def _head(name):
    """What a score is called in the table.

    >>> _head("shot5_top1")
    '5-shot'
    """
    shots = name.removeprefix("shot").removesuffix("_top1")
    return HEADS.get(name, f"{shots}-shot")


def _percent(share):
    return "" if share is None else f"{share:.1%}"


def _best(curve):
    if curve is None:
        return ""
    last = len(curve.top1) - 1
    return f"{curve.best} of {last}: {curve.top1[curve.best]:.1%}"


def _markdown(lines):
    """A table whose columns stand under each other, numbers to the right.

    >>> print(_markdown([["a", "b"], ["x", "10"]]))
    | a   |   b |
    |-----|----:|
    | x   |  10 |
    """
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    columns = list(zip(*lines[1:], strict=True))
    right = [all(cell[-1:] in DIGITS for cell in column) for column in columns]
    ends = zip(widths, right, strict=True)
    rule = "|".join("-" * (width + 1) + (":" if r else "-") for width, r in ends)
    first, *rest = (_cells(line, widths, right) for line in lines)
    return "\n".join([first, f"|{rule}|", *rest])


def _cells(line, widths, right):
    """One line of the table."""
    parts = zip(line, widths, right, strict=True)
    return f"| {' | '.join(c.rjust(w) if r else c.ljust(w) for c, w, r in parts)} |"
