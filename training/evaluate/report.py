"""All scores of a classifier on a data set, from one pass over it."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from keras_vit.intervals import shown, wilson
from keras_vit.lettering import undrawable
from keras_vit.models.output_activation import labels_of
from keras_vit.training.evaluate.calibration import (
    calibration_bins,
    calibration_error,
)
from keras_vit.training.evaluate.confusion import (
    NAMED,
    confused,
    confusion_matrix,
    plot_confusion,
)
from keras_vit.training.evaluate.predictions import Outcomes, outcomes
from keras_vit.training.evaluate.top1 import checked, shares
from keras_vit.types import Dataset

SHOWN = 5  # mistakes in the text


@dataclasses.dataclass(frozen=True)
class Report:
    """Scores, and where they come from.

    Args:
        outcomes: `Outcomes`, one row per image.
        class_names: K names.
        top: "top1", "top5" and so on -> share 0..1.
        bins: of `calibration_bins`.
    """

    outcomes: Outcomes
    class_names: tuple
    top: dict
    bins: tuple

    @property
    def count(self):
        """Number of images."""
        return len(self.outcomes.labels)

    @property
    def intervals(self):
        """As `top`: (low, high), 0..1, 95%, see `keras_vit.intervals.wilson`."""
        hits = {name: round(share * self.count) for name, share in self.top.items()}
        return {name: wilson(found, self.count) for name, found in hits.items()}

    @property
    def calibration_error(self):
        """ECE, 0..1; see `calibration_error`."""
        return calibration_error(self.bins)

    @property
    def log_loss(self):
        """Mean of -log of the true class's probability, nats."""
        return float(-self.outcomes.log_likelihood.mean())

    @property
    def confusion(self):
        """(K, K) counts; row: true class, column: predicted class."""
        found = self.outcomes
        return confusion_matrix(found.labels, found.answered, found.classes)

    def confused(self, most=10):
        """The most frequent mistakes: list of (true name, predicted name, count)."""
        pairs = confused(self.outcomes.labels, self.outcomes.answered, most)
        return [(self.class_names[a], self.class_names[b], n) for a, b, n in pairs]

    def per_class(self):
        """One row per class that occurs, in the order of the classes.

        Returns:
            List of dicts: "name"; "count", images; "recall", share of its images
            that are found; "precision", share of its answers that are true; "f1",
            their harmonic mean; each 0..1.
        """
        found = self.outcomes
        sides = (found.labels, found.answered, found.labels[found.right])
        images, said, hits = (np.bincount(s, minlength=found.classes) for s in sides)
        return [
            {
                "name": self.class_names[k],
                "count": int(images[k]),
                "recall": float(hits[k] / max(images[k], 1)),
                "precision": float(hits[k] / max(said[k], 1)),
                "f1": float(2 * hits[k] / (images[k] + said[k])),
            }
            for k in np.flatnonzero(images + said)
        ]

    def plot_confusion(self, path, overwrite=False):
        """Draw the confusion matrix, see `evaluate.plot_confusion`."""
        return plot_confusion(self.confusion, self.class_names, path, overwrite)

    @property
    def undrawable(self):
        """A sentence on letters of the picture that no font here has, or None."""
        return undrawable(self.class_names) if len(self.class_names) <= NAMED else None

    def to_dict(self):
        """Everything as plain values, for a program."""
        return {
            **self.top,
            **{f"{name}_interval": ends for name, ends in self.intervals.items()},
            "count": self.count,
            "calibration_error": self.calibration_error,
            "log_loss": self.log_loss,
            "calibration": [dataclasses.asdict(part) for part in self.bins],
            "per_class": self.per_class(),
            "confused": [list(row) for row in self.confused()],
        }

    def _top(self, name):
        """A score in words, with its interval."""
        ends = shown([100.0 * end for end in self.intervals[name]])
        called = f"top-{name.removeprefix('top')}"
        called = self.outcomes.task.score if name == "top1" else called
        return f"{called} {self.top[name]:.2%} ({ends})"

    def __str__(self):
        unit = self.outcomes.task.unit
        parts = [self._top(name) for name in self.top]
        parts.append(f"calibration error {self.calibration_error:.2%}")
        parts.append(f"log loss {self.log_loss:.3f}, {self.count} {unit}s")
        lines = [f"  {n} x {a!r} taken for {b!r}" for a, b, n in self.confused(SHOWN)]
        return "\n".join([", ".join(parts), *lines])


def report(
    model: keras.Model,
    dataset: Dataset,
    class_names: Sequence[str] | None = None,
    k: int | Sequence[int] = (1, 5),
    bins: int = 15,
    verbose: int = 1,
) -> Report:
    """Ask a classifier about every image, and score the answers in every way.

    Args:
        model, dataset, verbose: as in `outcomes`.
        class_names: K names; None takes `model.labels`, else numbers.
        k: as in `top_k`. bins: as in `calibration_bins`.

    Returns:
        `Report`.

    Raises:
        ValueError: as `outcomes`, and for names that are not K.
    """
    wanted = checked(k)
    found = outcomes(model, dataset, verbose)
    names = class_names or labels_of(model) or range(found.classes)
    names = tuple(map(str, names))
    if len(names) != found.classes:
        raise ValueError(
            f"class_names: must be {found.classes}, the outputs of the model, got "
            f"{len(names)}. Pass info.class_names of the data it was trained on."
        )
    parts = calibration_bins(found.confidence, found.right, bins)
    return Report(found, names, shares(found, wanted), parts)
