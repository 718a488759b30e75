"""Predictions of a model for every image of a data set: the input of every score."""

import dataclasses

import keras
import numpy as np

from keras_vit.tasks import CLASSIFICATION, UNJUDGED, OutputTask
from keras_vit.training.evaluate.features import answers
from keras_vit.training.tasks import task_of
from keras_vit.types import Dataset


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """One row per decision (image, or pixel of one), in the order of the data.

    Args:
        labels: (n,) int, true classes. answered: (n,) int, best classes.
        ranks: (n,) int, how many classes score better than the true one.
        confidence: (n,) probability of the answer, 0..1.
        log_likelihood: (n,) natural logarithm of the true class's probability.
        classes: K, outputs of the model.
        task: `keras_vit.tasks.OutputTask` that says what one row is.
    """

    labels: np.ndarray
    answered: np.ndarray
    ranks: np.ndarray
    confidence: np.ndarray
    log_likelihood: np.ndarray
    classes: int
    task: OutputTask = CLASSIFICATION

    @property
    def right(self):
        """(n,) bool: the true class scores best; among equals the lowest wins."""
        return self.ranks < 1


def outcomes(model: keras.Model, dataset: Dataset, verbose: int = 1) -> Outcomes:
    """Ask a model about every image, once.

    Args:
        model: (B, H, W, C) -> (B, K) logits, or probabilities that sum to 1; or
            (B, ..., K) of another task.
        dataset: gives (images, labels); labels (B,) int, or (B, K) one-hot, or as
            another task has them.
            Batches may differ in size.
        verbose: 1 shows progress.

    Returns:
        `Outcomes`.

    Raises:
        ValueError: for an empty data set, or labels that the model has no output
            for.
    """
    classes, rows, task = 0, [], task_of(model).output
    for scores, labels in answers(model, dataset, verbose):
        classes = scores.shape[-1]
        labels = task.targets(labels, scores.shape)
        known = labels != UNJUDGED
        rows.append(_row(task.rows(scores)[known], labels[known]))
    fields: list = [np.concatenate(column) for column in zip(*rows, strict=True)]
    return Outcomes(*fields + [classes, task])


def _row(scores, labels):
    """The first five fields of `Outcomes` for one batch."""
    if labels.size and (labels.max() >= scores.shape[1] or labels.min() < 0):
        one = labels.min() > 0 and labels.max() == scores.shape[1]
        hint = " They seem to be counted from 1: pass labels - 1." if one else ""
        raise ValueError(
            f"labels: must be from 0 to {scores.shape[1] - 1}, the outputs of the "
            f"model, got {labels.min()} to {labels.max()}.{hint} Evaluate on the "
            "classes it was trained for."
        )
    right = np.take_along_axis(scores, labels[:, None], axis=1)
    # Among equals the lowest index wins, as in argmax; NaN is never the answer.
    later = np.arange(scores.shape[1]) > labels[:, None]
    worse = (scores < right) | ((scores == right) & later)
    ranks = scores.shape[1] - 1 - worse.sum(axis=1)
    log_p = log_probabilities(scores)
    answered = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    confidence = np.exp(np.take_along_axis(log_p, answered[:, None], axis=1))[:, 0]
    likelihood = np.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    return labels, answered, ranks, confidence, likelihood


def log_probabilities(scores):
    """Natural logarithms of probabilities.

    Args:
        scores: (B, K) logits; or probabilities, which are told by their sum of 1.

    Returns:
        (B, K) float64.
    """
    scores = np.asarray(scores, "float64")
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        return np.log(np.maximum(scores, 1e-12))
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
