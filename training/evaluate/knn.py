"""k-nearest-neighbour classification of features: no training at all."""

from typing import Any

import keras
import numpy as np

from keras_vit.training.evaluate.features import as_features

CHUNK = 1024  # test images compared at a time


def knn(
    model: keras.Model | None,
    train: Any,
    test: Any,
    k: int = 20,
    temperature: float = 0.07,
    verbose: int = 1,
) -> dict[str, Any]:
    """Let the k nearest training images vote, the nearer the louder.

    Nearness is the cosine of the angle between features; a vote weighs
    `exp(cosine / temperature)`.

    Args:
        model: classifier or encoder, see `encoder`; None when `train` and `test`
            are (features (N, D), labels (N,)) already.
        train: images that vote. test: images to score.
        k: number of neighbours, at most the training images.
        temperature: above 0; small lets the nearest decide.
        verbose: 1 shows progress.

    Returns:
        Dict with "top1", share 0..1, and "count", test images.

    Raises:
        ValueError: for a k or temperature out of range.

    Source:
        Wu et al. 2018, arXiv:1805.01978, Sec. 3.4.
    """
    x, y = as_features(model, train, verbose)
    x_test, y_test = as_features(model, test, verbose)
    if not 1 <= k <= len(x):
        raise ValueError(
            f"k: must be from 1 to {len(x)}, the number of training images, got {k}."
        )
    if temperature <= 0:
        raise ValueError(f"temperature: must be above 0, got {temperature}.")
    x, x_test = _unit(x), _unit(x_test)
    classes = int(max(y.max(), y_test.max())) + 1
    right = 0
    for start in range(0, len(x_test), CHUNK):
        cosine = x_test[start : start + CHUNK] @ x.T
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        votes = np.exp((np.take_along_axis(cosine, near, axis=1) - 1.0) / temperature)
        totals = np.zeros((len(near), classes))
        for column in range(k):
            rows = np.arange(len(near))
            totals[rows, y[near[:, column]]] += votes[:, column]
        right += int((totals.argmax(axis=1) == y_test[start : start + CHUNK]).sum())
    return {"top1": right / len(x_test), "count": len(x_test)}


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
