"""Judge an exported file on real images: is it still the same model?"""

import collections
import math

import keras
import numpy as np

from keras_vit.choices import check_choice
from keras_vit.errors import ExportMismatch
from keras_vit.export.compare import (
    Tally,
    as_meant,
    check_points,
    points_allowed,
    worst,
)
from keras_vit.export.contract import size_of
from keras_vit.export.facing import batches_for, described, face_of
from keras_vit.export.inspection.half import largest_activation
from keras_vit.export.inspection.layers import compare_layers
from keras_vit.export.inspection.summary import inspect
from keras_vit.export.reference import Reference
from keras_vit.export.runtimes import open_file
from keras_vit.export.timing import interleaved
from keras_vit.export.verification import Verification


def verify(
    model,
    path,
    images,
    labels=None,
    *,
    max_points_lost=None,
    layers=False,
    on_failure="raise",
    signature=None,
    verbose=1,
):
    """Compare an exported file with the Keras model, image by image.

    Args:
        model: the Keras model it was made from. One that computes in 16 bits is
            compared in float32.
        path: SavedModel folder, `.tflite` or `.onnx` file.
        images: (N, H, W, C) array prepared for the model, or any iterable of
            batches or of (images, labels) pairs, such as a `tf.data.Dataset`. For a
            file that takes pixels, an array of uint8 images will do as well.
        labels: N class indices, for arrays; None compares without them.
        max_points_lost: how many points of top-1 the file may lose; None for 0.5,
            and 1.5 with weights of 4 bits. One image is always allowed.
        layers: whether to compare block by block too, and to look for activations
            that 16-bit floats cannot hold; on the first images, takes seconds.
        signature: which one of several; None for the file's first.
        on_failure: "raise", or "report" to get a `Verification` that did not pass.
        verbose: 0 for silence, 1 for a progress bar.

    Returns:
        `Verification`. float32 files pass within 1e-4 of the logits, 8-bit ones
        above 10 dB; both must keep their top-1 when there are labels.

    Raises:
        FileNotFoundError, ValueError: for a path that is no such file.
        ExportMismatch: for the file of another model, or one that does not pass;
            the latter has the `Verification` as its attribute `report`.
        TypeError, ValueError: for images or labels that do not fit.
    """
    check_choice("on_failure", on_failure, ("raise", "report"))
    check_points("max_points_lost", max_points_lost, optional=True)
    reference = Reference(model)
    runtime, first = open_file(path, signature=signature), FirstImages()
    faced = face_of(reference, runtime)
    batches = batches_for(faced, images, labels, reference.contract)
    given = (batches, max_points_lost, verbose, first.add)
    (report,) = verify_all(faced, [runtime], *given)
    report.compared = described(faced.face)
    if layers:
        few, kind = first.images(), runtime.format
        report.layers = compare_layers(
            reference, path, kind, report.precision, few, faced.face, runtime.signature
        )
        report.half = largest_activation(path, kind, few, runtime.signature)
    if on_failure == "raise" and not report.passed:
        raise ExportMismatch(_verdict(report), report)
    return report


def _verdict(report):
    """What a file does wrong, where, and what to do."""
    wrong = report.layers.first_wrong if report.layers else None
    where = f", first at {wrong}" if wrong else ""
    more = "" if report.layers else " layers=True says where it starts;"
    return (
        f"{report.path}: must answer as the Keras model does, got "
        f"{'; '.join(report.reasons)}{where} ({report.where}). Try another "
        f"quantization;{more} on_failure='report' gives all figures."
    )


class FirstImages:
    """Keeps the first images that pass by, for what looks at a few only."""

    def __init__(self, count=8):
        self._left, self._kept = count, []

    def add(self, images, labels, outputs):
        """Look at one batch; fits `verify_all`'s observe."""
        if self._left > 0:
            self._kept.append(images[: self._left])
            self._left -= len(images)

    def images(self):
        """(N, H, W, C), at most as many as asked for."""
        return np.concatenate(self._kept)


def verify_all(
    reference, runtimes, batches, max_points_lost=None, verbose=1, observe=None
):
    """Compare several files in one pass over the images.

    Args:
        reference: `Reference` with an open batch. runtimes: list of `Runtime`.
        batches: `Batches`. max_points_lost, verbose: as in `verify`.
        observe: function of (images, labels, Keras outputs), called per batch.

    Returns:
        A list of `Verification`, one per runtime.

    Raises:
        ExportMismatch, TypeError, ValueError: as `verify`.
    """
    for runtime in runtimes:
        _match_faces(runtime, reference.shown)
    comparisons = [Comparison(runtime, reference.contract) for runtime in runtimes]
    bar = keras.utils.Progbar(batches.count, verbose=verbose, unit_name="batch")
    first = None
    for images, labels in batches:
        expected = reference.finite_answers(images)
        for comparison in comparisons:
            got = reference.complete(expected, comparison.runtime(images))
            comparison.add(expected, got, labels)
        if observe is not None:
            observe(images, labels, expected)
        first = images[:1] if first is None else first
        bar.add(1)
    times = interleaved([reference, *runtimes], first)
    return [
        comparison.verification(
            max_points_lost, times[0], own, getattr(reference.model, "labels", None)
        )
        for comparison, own in zip(comparisons, times[1:], strict=True)
    ]


def _match_faces(runtime, contract):
    """Refuse a file that takes or gives something else than the model does."""
    wanted = [tensor.name for tensor in contract.outputs]
    if sorted(wanted) == sorted(tensor.name for tensor in runtime.outputs):
        runtime.order(wanted)
    pairs = [((contract.image,), runtime.inputs), (contract.outputs, runtime.outputs)]
    for ours, theirs in pairs:
        shown = as_meant(ours, theirs)
        kinds = [[(t.dtype, t.shape[1:]) for t in side] for side in (ours, shown)]
        if kinds[0] != kinds[1]:
            raise ExportMismatch(
                f"{runtime.path}: must take and give what the model does, "
                f"{', '.join(map(str, ours))}, got {', '.join(map(str, theirs))}. "
                "Compare it with the model it was made from."
            )


class Comparison:
    """Running figures of one file against the Keras model.

    Args:
        runtime: the loaded file. contract: of the model.
    """

    def __init__(self, runtime, contract):
        self.runtime = runtime
        self.tallies = [Tally() for _ in contract.outputs]
        self._names = [tensor.name for tensor in contract.outputs]
        ranks = [len(tensor.shape) for tensor in contract.outputs]
        scores = contract.outputs[0].name != "features" and ranks[0] == 2
        self._scored = scores and contract.outputs[0].shape[1] > 1
        self.images = self.labelled = self.same = self.right = self.right_keras = 0
        self.top5 = self.top5_keras = 0
        self._five = self._scored and contract.outputs[0].shape[1] > 5
        self._confused = collections.Counter()
        self._where, self._largest = "", -1.0

    def add(self, expected, got, labels):
        """Count in one batch."""
        self.images += len(expected[0])
        parts = zip(self.tallies, self._names, expected, got, strict=True)
        for tally, name, wanted, found in parts:
            tally.add(wanted, found)
            if tally.largest > self._largest:
                self._largest = tally.largest
                self._where = f"{name}, in its batch {worst(wanted, found)}"
        if not self._scored:
            return
        ours, theirs = expected[0].argmax(axis=1), got[0].argmax(axis=1)
        self.same += int((ours == theirs).sum())
        self._confused.update(
            (int(a), int(b)) for a, b in zip(ours, theirs, strict=True) if a != b
        )
        if labels is not None:
            self.labelled += len(labels)
            self.right_keras += int((ours == labels).sum())
            self.right += int((theirs == labels).sum())
        if labels is not None and self._five:
            self.top5_keras += _among_five(expected[0], labels)
            self.top5 += _among_five(got[0], labels)

    def confusions(self, names, most=10):
        """The most frequent disagreements. names: of the classes, or None."""

        def name(index):
            return names[index] if names else f"class {index}"

        return [
            {"keras": name(a), "file": name(b), "count": count}
            for (a, b), count in self._confused.most_common(most)
        ]

    def verification(
        self, max_points_lost, milliseconds_keras, milliseconds, names=None
    ):
        """The figures so far, with a verdict."""
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
            inspection=inspect(runtime.path, runtime.format),
            images=self.images,
            largest_difference=max(tally.largest for tally in self.tallies),
            mean_difference=sum(tally.absolute for tally in self.tallies) / count,
            signal_to_noise_db=noise,
            outputs_db={
                name: tally.decibel if math.isfinite(tally.decibel) else None
                for name, tally in zip(self._names, self.tallies, strict=True)
            },
            top1_keras=self._percent(self.right_keras, self.labelled),
            top1=self._percent(self.right, self.labelled),
            top5_keras=self._percent(self.top5_keras, self.labelled * self._five),
            top5=self._percent(self.top5, self.labelled * self._five),
            confusions=self.confusions(names),
            agreement=self._percent(self.same, self.images if self._scored else 0),
            milliseconds_keras=milliseconds_keras,
            milliseconds=milliseconds,
            time_ratio=milliseconds / milliseconds_keras,
            where=self._where,
            reasons=self._reasons(max_points_lost),
        )

    @staticmethod
    def _percent(part, whole):
        return 100.0 * part / whole if whole else None

    def _reasons(self, max_points_lost):
        complaints = [tally.complaint(self.runtime.precision) for tally in self.tallies]
        pairs = zip(self._names, complaints, strict=True)
        reasons = [f"{name} has {text}" for name, text in pairs if text]
        most = points_allowed(max_points_lost, self.runtime.precision)
        lost = self.right_keras - self.right
        if lost > 1 and 100.0 * lost / self.labelled > most:
            reasons.append(
                f"top-1 falls by {100.0 * lost / self.labelled:.2f} points on "
                f"{self.labelled} images (at most {most} wanted)"
            )
        return reasons


def _among_five(scores, labels):
    """How many labels are among the five largest scores."""
    best = np.argpartition(-scores, 5, axis=1)[:, :5]
    return int((best == labels[:, None]).any(axis=1).sum())
