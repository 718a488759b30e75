"""Verification of an exported file against the Keras model on real images."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_vit.choices import check_choice
from keras_vit.errors import ExportMismatch
from keras_vit.export.comparison.io_detection import (
    adapted_reference,
    batches_for,
    described,
)
from keras_vit.export.comparison.on_processors import ProcessorRuns
from keras_vit.export.comparison.running_tally import Comparison
from keras_vit.export.comparison.verification import Verification
from keras_vit.export.inspection.half import largest_activation
from keras_vit.export.inspection.layers import compare_layers
from keras_vit.export.io.reference import Reference
from keras_vit.export.processors.child import TIME_LIMIT
from keras_vit.export.processors.session import ready
from keras_vit.export.runtime.differences import check_points, dequantized
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.timing import interleaved
from keras_vit.models.output_activation import labels_of
from keras_vit.progress import Bar
from keras_vit.types import FilePath


def verify(
    model: keras.Model,
    path: FilePath,
    images: Any,
    labels: Any = None,
    *,
    max_points_lost: float | None = None,
    layers: bool = False,
    on_failure: str = "raise",
    signature: str | None = None,
    on: str | Iterable[str] | None = None,
    time_limit: float = TIME_LIMIT,
    verbose: int = 1,
) -> Verification:
    """Compare an exported file with the Keras model, image by image.

    Args:
        model: the Keras model of the file; one in 16 bits is compared in float32.
        path: SavedModel folder, `.tflite` or `.onnx` file.
        images: (N, H, W, C) array prepared for the model, or any iterable of
            batches or of (images, labels) pairs, such as a `tf.data.Dataset`. For a
            file that takes pixels, an array of uint8 images will do as well.
        labels: N class indices, or those of another task, for arrays; or None.
        max_points_lost: points of top-1 the file may lose, one image at any rate; None
            for 0.5, and 1.5 with weights of 4 bits.
        layers: whether to compare block by block too, and to look for activations
            that 16-bit floats cannot hold; on the first images, takes seconds.
        signature: which one of several; None for the file's first.
        on: name of a processor to run the file on too, or several, see
            `processors.TARGETS`. time_limit: seconds for each, its start included.
        on_failure: "raise", or "report" to get a `Verification` that did not pass.
        verbose: 0 for silence.

    Returns:
        `Verification`. float32 files pass within 1e-4 of the logits, 8-bit ones
        above 10 dB; both must keep their top-1 when there are labels.

    Raises:
        ExportMismatch: for the file of another model, or one that does not pass,
            here or elsewhere; the latter has the `Verification` as `report`.
        OSError, TypeError, ValueError: for a path that is no such file, a processor
            that is not installed (`TimeoutError`: too slow), images that do not fit.
    """
    _check(on_failure, max_points_lost)
    targets, reference = ready(on, path, time_limit), Reference(model)
    runtime, first = open_file(path, signature=signature), FirstImages()
    adapted = adapted_reference(reference, runtime)
    batches = batches_for(adapted, images, labels, reference.contract)
    limits = (max_points_lost, time_limit, verbose)
    with ProcessorRuns(adapted, runtime, targets, *limits) as trials:
        judging = (max_points_lost, verbose, Observers(first, trials).add)
        (report,) = verify_all(adapted, [runtime], batches, *judging)
        report.judge(trials.results())
    report.compared = described(adapted.adapter)
    if layers:
        _inspect(report, reference, runtime, first.images(), adapted.adapter)
    if on_failure == "raise" and not report.passed:
        raise ExportMismatch(verdict(report), report)
    return report


def _check(on_failure, max_points_lost):
    check_choice("on_failure", on_failure, ("raise", "report"))
    check_points("max_points_lost", max_points_lost, optional=True)


def _inspect(report, reference, runtime, few, adapter):
    """Compare block by block, and find the largest activation, on a few images."""
    path, kind, name = runtime.path, runtime.format, runtime.signature
    given = (reference, path, kind, report.precision, few, adapter, name)
    report.layers = compare_layers(*given)
    report.half = largest_activation(path, kind, few, name)


def verdict(report):
    """The limits that a file exceeds, where, and what to do.

    Args:
        report: `Verification` that did not pass.
    """
    wrong = report.layers.first_wrong if report.layers else None
    where = f", first at {wrong}" if wrong else ""
    more = "" if report.layers else " layers=True says where it starts;"
    return (
        f"{report.path}: must answer as the Keras model does, got "
        f"{'; '.join(report.reasons)}{where} ({report.where}). Try another "
        f"quantization;{more} on_failure='report' gives all figures."
    )


class Observers:
    """Calls several observers with each batch, in order."""

    def __init__(self, *observers):
        self._observers = observers

    def add(self, images, labels, outputs):
        """Pass on one batch; fits `verify_all`'s observe."""
        for observer in self._observers:
            observer.add(images, labels, outputs)


class FirstImages:
    """Keeps the first images, for checks on a few only."""

    def __init__(self, count=8):
        self._left, self._kept, self._labels = count, [], []

    def add(self, images, labels, outputs):
        """Add one batch; fits `verify_all`'s observe."""
        if self._left > 0:
            self._kept.append(images[: self._left])
            if labels is not None:
                self._labels.append(labels[: self._left])
            self._left -= len(images)

    def images(self):
        """(N, H, W, C), at most as many as asked for."""
        return np.concatenate(self._kept)

    def labels(self):
        """Their class indices, or None without labels."""
        return np.concatenate(self._labels) if self._labels else None


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
        _match_interfaces(runtime, reference.shown)
    comparisons = [Comparison(runtime, reference.contract) for runtime in runtimes]
    bar = Bar(batches.count, "batch", verbose)
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
    tallies = [
        comparison.verification(
            max_points_lost, times[0], own, labels_of(reference.model), verbose
        )
        for comparison, own in zip(comparisons, times[1:], strict=True)
    ]
    for one in tallies:
        one.notes = [*batches.notes, *one.notes, *one.lost]
        one.lost = [*batches.lost, *one.lost]
    return tallies


def _match_interfaces(runtime, contract):
    """Refuse a file whose inputs or outputs are not the model's."""
    wanted = [tensor.name for tensor in contract.outputs]
    if sorted(wanted) == sorted(tensor.name for tensor in runtime.outputs):
        runtime.order(wanted)
    pairs = [((contract.image,), runtime.inputs), (contract.outputs, runtime.outputs)]
    for ours, theirs in pairs:
        shown = dequantized(ours, theirs)
        kinds = [[(t.dtype, t.shape[1:]) for t in side] for side in (ours, shown)]
        if kinds[0] != kinds[1]:
            raise ExportMismatch(
                f"{runtime.path}: must take and give what the model does, "
                f"{', '.join(map(str, ours))}, got {', '.join(map(str, theirs))}. "
                "Compare it with the model it was made from."
            )
