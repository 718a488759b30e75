"""Running accuracy, agreement and difference of a file and its Keras model."""

import collections
import math

import numpy as np

from keras_vit.export.comparison.verification import Verification
from keras_vit.export.inspection.summary import inspect
from keras_vit.export.io.io_spec import size_of
from keras_vit.export.runtime.differences import (
    Tally,
    largest_difference,
    points_allowed,
)
from keras_vit.intervals import Change, percents
from keras_vit.tasks import UNJUDGED, output_task


class Comparison:
    """Running accuracy, agreement and difference of a file and its Keras model.

    Args:
        runtime: the loaded file. contract: of the model.
    """

    def __init__(self, runtime, contract):
        self.runtime = runtime
        self.tallies = [Tally() for _ in contract.outputs]
        self._names = [tensor.name for tensor in contract.outputs]
        self.task = output_task(contract.outputs[0])
        classes = self.task.classes(contract.outputs[0]) or 0
        self._scored = classes > 1
        self.images = self.with_labels = self.decisions = 0
        self.labelled = self.same = self.right = self.right_keras = 0
        self.top5 = self.top5_keras = self.changed = self.better = self.worse = 0
        self._five = classes > 5
        self._confused = collections.Counter()
        self._where, self._largest = "", -1.0

    def add(self, expected, got, labels):
        """Add one batch of expected and obtained outputs.

        Raises:
            ValueError: for labels that nothing is judged by.
        """
        if labels is not None and not self._scored:
            raise ValueError(
                f"labels: need scores of two classes or more, got "
                f"{self._names[0]!r} of {expected[0].shape[-1]} values. Leave the "
                "labels out: images alone are compared too."
            )
        self.images += len(expected[0])
        parts = zip(self.tallies, self._names, expected, got, strict=True)
        for tally, name, wanted, obtained in parts:
            tally.add(wanted, obtained)
            if tally.largest > self._largest:
                self._largest = tally.largest
                self._where = (
                    f"{name}, in its batch {largest_difference(wanted, obtained)}"
                )
        if not self._scored:
            return
        rows = [self.task.rows(side[0]) for side in (expected, got)]
        ours, theirs = (scores.argmax(axis=1) for scores in rows)
        self.decisions += len(ours)
        self.same += int((ours == theirs).sum())
        self._confused.update(
            (int(a), int(b)) for a, b in zip(ours, theirs, strict=True) if a != b
        )
        if labels is None:
            return
        self.with_labels += len(labels)
        labels = self.task.targets(labels, expected[0].shape)
        known = labels != UNJUDGED
        labels = labels[known]
        self._judge(ours[known], theirs[known], labels)
        if self._five:
            self.top5_keras += _count_top5(rows[0][known], labels)
            self.top5 += _count_top5(rows[1][known], labels)

    def _judge(self, ours, theirs, labels):
        """Count top-1, top-5 and agreement with the labels of a batch."""
        before, after = ours == labels, theirs == labels
        self.labelled += len(labels)
        self.right_keras += int(before.sum())
        self.right += int(after.sum())
        self.changed += int((ours != theirs).sum())
        self.better += int((after & ~before).sum())
        self.worse += int((before & ~after).sum())

    def confusions(self, names, most=10):
        """The most frequent disagreements of file and model. names: labels, or None."""

        def name(index):
            return names[index] if names else f"class {index}"

        return [
            {"keras": name(a), "file": name(b), "count": count}
            for (a, b), count in self._confused.most_common(most)
        ]

    def verification(
        self, max_points_lost, milliseconds_keras, milliseconds, names=None, verbose=0
    ):
        """Build the `Verification` of all batches. verbose: 1 shows tools' progress."""
        runtime, count = self.runtime, sum(tally.count for tally in self.tallies)
        noise = min(tally.decibel for tally in self.tallies)
        return Verification(
            path=runtime.path,
            format=runtime.format,
            size_bytes=size_of(runtime.path),
            precision=runtime.precision,
            inputs=list(runtime.inputs),
            outputs=list(runtime.outputs),
            operators=runtime.operators,
            inspection=inspect(runtime.path, runtime.format, verbose),
            images=self.images,
            largest_difference=max(tally.largest for tally in self.tallies),
            mean_difference=sum(tally.absolute for tally in self.tallies) / count,
            signal_to_noise_db=noise,
            outputs_db={
                name: None if tally.decibel == math.inf else tally.decibel
                for name, tally in zip(self._names, self.tallies, strict=True)
            },
            top1_keras=self._percent(self.right_keras, self.labelled),
            top1=self.top1,
            top1_keras_interval=percents(self.right_keras, self.labelled),
            top1_interval=percents(self.right, self.labelled),
            change=self.change,
            top5_keras=self._percent(self.top5_keras, self.labelled * self._five),
            top5=self._percent(self.top5, self.labelled * self._five),
            confusions=self.confusions(names),
            agreement=self.agreement,
            milliseconds_keras=milliseconds_keras,
            milliseconds=milliseconds,
            time_ratio=milliseconds / milliseconds_keras,
            where=self._where,
            reasons=self.reasons(max_points_lost),
            score=self.task.score,
            notes=self.notes(),
            lost=self.unlabelled(),
        )

    def notes(self):
        """Notes on scores that are not counted by image; a list."""
        unit = self.task.unit
        if unit == "image" or not self._scored:
            return []
        return [
            f"agreement and {self.task.score} count {unit}s, {self.decisions} of "
            f"{self.images} images; intervals take them for independent"
        ]

    def unlabelled(self):
        """Notes on images without labels, where others have some; a list."""
        if self.with_labels in (0, self.images):
            return []
        return [
            f"only {self.with_labels} of {self.images} images have labels: top-1 and "
            "top-5 are of those"
        ]

    @staticmethod
    def _percent(part, whole):
        return 100.0 * part / whole if whole else None

    @property
    def top1(self):
        """Top-1 of the file in percent of the labelled images, or None."""
        return self._percent(self.right, self.labelled)

    @property
    def change(self):
        """Top-1 `Change` from the Keras model to the file, or None without labels."""
        if not self.labelled:
            return None
        flips = self.changed, self.better, self.worse
        return Change(self.labelled, *flips, self.task.unit)

    @property
    def agreement(self):
        """Percent of decisions where both choose the same class, or None."""
        return self._percent(self.same, self.decisions)

    def reasons(self, max_points_lost):
        """The limits that the file exceeds. max_points_lost: as in `verify`."""
        complaints = [tally.complaint(self.runtime.precision) for tally in self.tallies]
        pairs = zip(self._names, complaints, strict=True)
        reasons = [f"{name} has {text}" for name, text in pairs if text]
        most = points_allowed(max_points_lost, self.runtime.precision)
        lost = self.right_keras - self.right
        if lost > 1 and 100.0 * lost / self.labelled > most:
            reasons.append(
                f"{self.task.score} falls by {100.0 * lost / self.labelled:.2f} points "
                f"on {self.labelled} {self.task.unit}s (at most {most} wanted)"
            )
        return reasons


def _count_top5(scores, labels):
    """Count the labels that are among the five largest scores."""
    best = np.argpartition(-scores, 5, axis=1)[:, :5]
    return int((best == labels[:, None]).any(axis=1).sum())
