"""quantization="auto": the smallest recipe that keeps the model's accuracy."""

import dataclasses
import os
import pathlib
import tempfile
import time

import numpy as np

from keras_vit import files
from keras_vit.errors import ExportMismatch, UnsupportedLayer
from keras_vit.export.images.batches import Batches
from keras_vit.export.quantization.recipe import AUTO
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.differences import check_points
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.staging import display_path
from keras_vit.intervals import percents, shown
from keras_vit.progress import Bar, about
from keras_vit.tasks import UNJUDGED, output_task


@dataclasses.dataclass(frozen=True)
class AutoTrial:
    """Accuracy and size of one recipe that "auto" tried.

    Args:
        quantization: its name, None for float32.
        size_bytes: of the file, 0 when there was none.
        top1: percent of the images, or None without labels.
        lost: points of top-1 below the Keras model, or of agreement below 100.
        agreement: percent of images where both choose the same class, or None.
        accepted: whether the recipe was chosen.
        note: why there are no figures, or "".
        top1_interval: of top1, 95%, see `keras_vit.intervals.wilson`.
        score: what top1 is called, see `keras_vit.tasks.OutputTask`.
    """

    quantization: str | None
    size_bytes: int = 0
    top1: float | None = None
    lost: float | None = None
    agreement: float | None = None
    accepted: bool = False
    note: str = ""
    top1_interval: tuple | None = None
    score: str = "top-1"

    def __str__(self):
        name = (self.quantization or "float32").ljust(14)
        if self.note:
            return f"{name} {self.note}"
        top1 = ""
        if self.top1 is not None:
            top1 = f"{self.score} {self.top1:6.2f}% ({shown(self.top1_interval)}), "
        verdict = "chosen" if self.accepted else "too much"
        return (
            f"{name} {self.size_bytes / 1e6:7.2f} MB, {top1}agreement "
            f"{self.agreement:6.2f}%, {self.lost:5.2f} points lost: {verdict}"
        )


class AccuracyJudge:
    """Compares the top-1 predictions of files with the Keras model's.

    Args:
        reference: `Reference`, in float32.
        validation: images, or (images, labels), as in `keras_vit.export.verify`.
        tolerance: points of top-1 (of agreement without labels) that may be lost.

    Attributes:
        count: of the images that the Keras model looked at.

    Raises:
        TypeError, ValueError: for a tolerance, images or labels that do not fit, or
            a model that does not choose among classes.
    """

    def __init__(self, reference, validation, tolerance):
        check_points("tolerance", tolerance)
        if validation is None:
            raise ValueError(
                "validation: must be given with quantization='auto', got None. Pass "
                "(images, labels), or images alone, that calibration does not use."
            )
        pair = validation if isinstance(validation, tuple) else (validation, None)
        if iter(pair[0]) is pair[0]:
            raise ValueError(
                "validation: must be readable once per recipe, got an iterator. Pass "
                "arrays, a list of batches or a tf.data.Dataset."
            )
        scores = reference.contract.outputs[0]
        self._task = output_task(scores)
        if (self._task.classes(scores) or 0) < 2:
            raise ValueError(
                f"quantization: 'auto' needs a model that gives scores (B, K), got "
                f"{scores}. Name a recipe, and judge the file with verify."
            )
        self.tolerance, self._pair, self._reference = tolerance, pair, reference
        self._choices, self._labels, self.count = None, None, 0
        self._batches()

    @property
    def score(self):
        """What the share of right decisions is called."""
        return self._task.score

    @property
    def notes(self):
        """Notes on the validation images and on skipped files."""
        return tuple(getattr(self._pair[0], "notes", ()))

    def _batches(self):
        return Batches(*self._pair, self._reference.contract)

    def predict_with_keras(self, verbose):
        """Compute the Keras model's predictions, once for all recipes."""
        choices, labels, self.count = [], [], 0
        batches = self._batches()
        bar = Bar(batches.count, "batch", verbose)
        for images, given in batches:
            scores = self._reference.finite_answers(images)[0]
            choices.append(self._choose(scores))
            if given is not None:
                labels.append(self._task.targets(given, scores.shape))
            self.count += len(images)
            bar.add(1)
        self._choices = np.concatenate(choices)
        whole = len(labels) == len(choices)
        self._labels = np.concatenate(labels) if whole else None

    def _choose(self, scores):
        """Predicted class of each decision."""
        return self._task.rows(scores).argmax(axis=1)

    def _right(self, choices):
        """(correct predictions, predictions with a label)."""
        known = self._labels != UNJUDGED
        return int((choices == self._labels)[known].sum()), int(known.sum())

    @property
    def top1(self):
        """Top-1 of the Keras model in percent, or None."""
        if self._labels is None:
            return None
        right, labelled = self._right(self._choices)
        return 100.0 * right / labelled if labelled else None

    def longest_duration(self, path, reasons):
        """Estimate the longest duration of judging, from one image in the float32 file.

        Args:
            path: of that file. reasons: {name: why it cannot be tried, or ""}.
        """
        runtime = open_file(path)
        tried = 1 + sum(not reason for reason in reasons.values())
        images, _ = next(iter(self._batches()))
        runtime(images[:1])
        start = time.monotonic()
        runtime(images[:1])
        seconds = (time.monotonic() - start) * self.count * tried
        return (
            f"auto: judging takes {about(seconds)}, if all of {tried} recipes have "
            f"to be tried on {self.count} images; making the files comes on top"
        )

    def trial(self, quantization, path, size_bytes):
        """Compute a file's predictions: `AutoTrial`.

        Args:
            quantization: its recipe. path: of the file. size_bytes: of it.

        Returns:
            `AutoTrial`.
        """
        runtime = open_file(path)
        runtime.order([tensor.name for tensor in self._reference.contract.outputs])
        answers = [self._choose(runtime(images)[0]) for images, _ in self._batches()]
        choices = np.concatenate(answers)
        agreement = 100.0 * float((choices == self._choices).mean())
        figures = {"agreement": agreement, "lost": 100.0 - agreement}
        figures["score"] = self._task.score
        if self.top1 is not None:
            right, labelled = self._right(choices)
            figures["top1"] = 100.0 * right / labelled
            figures["top1_interval"] = percents(right, labelled)
            figures["lost"] = self.top1 - figures["top1"]
        accepted = figures["lost"] <= self.tolerance + 1e-9
        return AutoTrial(quantization, size_bytes, **figures, accepted=accepted)


def make_judge(quantization, reference, validation, tolerance):
    """Make the `AccuracyJudge` of quantization="auto"; None for a named recipe.

    Args:
        quantization: as in `to_tflite`.
        reference, validation, tolerance: of `AccuracyJudge`.

    Raises:
        ValueError: for validation images where they would mean nothing.
    """
    if quantization == AUTO:
        return AccuracyJudge(reference, validation, tolerance)
    if validation is not None:
        raise ValueError(
            "validation: goes with quantization='auto' only, got quantization="
            f"{quantization!r}. Leave it out, and judge the file with verify."
        )
    return None


def smallest(path, judge, hindrances, write, overwrite=False, verbose=1):
    """Try recipes from smallest to largest and keep the first within the tolerance.

    Args:
        path: file to write. judge: `AccuracyJudge`.
        hindrances: {`QuantizationRecipe`: why it cannot be tried, or ""}.
        write: function of (recipe, file, float32 file or None) that writes a file and
            gives its `Exported`; float32 comes first, and is converted once.
        overwrite: whether an existing file may be replaced. verbose: 0 for silence.

    Returns:
        `Exported` with `tried`.

    Raises:
        ExportMismatch: when not even float32 keeps the accuracy.
    """
    path = files.check_target(path, overwrite)
    tried = []
    with files.replacing(path, overwrite) as temporary:
        plain = temporary.with_name(f"float32{path.suffix}")
        exported = {None: write(None, plain, None)}
        say("auto: Keras predictions for the validation images", verbose)
        judge.predict_with_keras(verbose)
        reasons = {r.name: why for r, why in hindrances.items() if r.tried_by_auto}
        say(judge.longest_duration(plain, reasons), verbose)
        for name in order(hindrances):
            file = plain if name is None else temporary.with_name(name + path.suffix)
            trial = _try(judge, name, reasons.get(name), file, plain, exported, write)
            tried.append(trial)
            say(f"auto: {trial}", verbose)
            if trial.accepted:
                os.rename(file, temporary)
                break
        else:
            raise ExportMismatch(
                f"{path}: some recipe must keep {judge.score} within "
                f"{judge.tolerance} points, got {'; '.join(map(str, tried))}. Raise "
                "the tolerance."
            )
    chosen, warning = exported[tried[-1].quantization], _resolution_warning(judge)
    result = dataclasses.replace(
        chosen,
        path=path,
        tried=tuple(tried),
        notes=(*chosen.notes, *warning, *judge.notes),
    )
    say(str(dataclasses.replace(result, path=display_path(path))), verbose)
    return result


def order(recipes):
    """Names of the recipes to try, from the smallest file to float32 (None).

    Args:
        recipes: `QuantizationRecipe`s.
    """
    tried = [recipe for recipe in recipes if recipe.tried_by_auto]
    tried = sorted(tried, key=lambda recipe: recipe.size_share)
    return [*(recipe.name for recipe in tried), None]


def smallest_with_adapter(
    path, judge, hindrances, write, dress, overwrite=False, verbose=1
):
    """As `smallest`, for a file with another adapter than the model's own.

    Recipes are judged by the model's own adapter, in a folder that goes away.

    Args:
        path, judge, hindrances, write, overwrite, verbose: as in `smallest`.
        dress: function of the chosen recipe that writes `path` and gives its
            `Exported`.

    Returns:
        `Exported` with `tried`.
    """
    path = files.check_target(path, overwrite)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".auto.") as folder:
        file = pathlib.Path(folder) / path.name
        chosen = smallest(file, judge, hindrances, write, verbose=verbose)
    return dataclasses.replace(dress(chosen.quantization), tried=chosen.tried)


def _try(judge, name, hindrance, file, plain, exported, write):
    """Try one recipe: `AutoTrial`. One that fails verification is not good enough."""
    if hindrance:
        return AutoTrial(name, note=f"not tried: {hindrance}")
    try:
        if name is not None:
            exported[name] = write(name, file, plain)
    except (ExportMismatch, UnsupportedLayer) as err:
        return AutoTrial(name, note=f"failed: {err}")
    return judge.trial(name, file, exported[name].size_bytes)


def _resolution_warning(judge):
    """Warn when one image weighs more than the tolerance."""
    grain = 100.0 / judge.count
    if grain <= judge.tolerance / 2:
        return ()
    return (
        f"auto judged on {judge.count} images, where one is {grain:.2g} points; "
        "1,000 tell half a point",
    )
