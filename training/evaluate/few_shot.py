"""Few-shot classification by regularised least squares, in closed form."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.training.evaluate.features import as_features

BIAS = 100.0  # value of the constant column: large, so that its weight hardly shrinks
TINY = 1e-5  # added to standard deviations


def few_shot(
    model: keras.Model | None,
    train: Any,
    test: Any,
    shots: Sequence[int] = (1, 5, 10, 25),
    seeds: Sequence[int] = (0, 1, 2),
    penalty: float = 2.0**10,
    verbose: int = 1,
) -> dict[int, dict[str, Any]]:
    """Classify with a few labelled images per class, by least squares on features.

    Args:
        model: classifier or encoder, see `encoder`; None when `train` and `test`
            are (features (N, D), labels (N,)) already.
        train: images to draw from, (images, labels). test: images to score.
        shots: images per class.
        seeds: one draw each; all shots of a seed share one order of the images.
        penalty: lambda of the least squares.
        verbose: 1 shows progress.

    Returns:
        Dict shots -> {"top1": mean top-1, 0..1, "per_seed": list of them}.

    Raises:
        ValueError: when a class has fewer images than the most shots.

    Source:
        big_vision, `fewshot_lsr`; the ViT paper reports such scores,
        arXiv:2010.11929, Sec. 4.1.
    """
    shots = (shots,) if isinstance(shots, int) else tuple(shots)
    x, y = as_features(model, train, verbose)
    x_test, y_test = as_features(model, test, verbose)
    counts = np.bincount(y)
    if counts.min() < max(shots):
        short = int(counts.argmin())
        raise ValueError(
            f"shots: must be at most the images of each class, got {max(shots)} with "
            f"{counts[short]} images of class {short}. Use shots={counts[short]}."
        )
    scores: dict[int, list] = {count: [] for count in shots}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = [rng.permutation(np.flatnonzero(y == k)) for k in range(len(counts))]
        for count in shots:
            rows = np.concatenate([chosen[:count] for chosen in order])
            solve = least_squares(x[rows], y[rows], len(counts), penalty)
            scores[count].append(float(np.mean(solve(x_test) == y_test)))
    return {
        count: {"top1": float(np.mean(found)), "per_seed": found}
        for count, found in scores.items()
    }


def least_squares(
    x: np.ndarray, y: np.ndarray, classes: int, penalty: float = 2.0**10
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit `W = (X'X + penalty I)^-1 X'Y` on standardised features.

    Args:
        x: (n, d) features. y: (n,) int labels. classes: K.
        penalty: lambda, on the bias column of 100 too.

    Returns:
        Function of (m, d) features that gives (m,) class numbers; its attribute
        `weights` is (d + 1, K) float64.
    """
    mean, deviation = x.mean(axis=0), x.std(axis=0) + TINY

    def prepared(rows):
        rows = (np.asarray(rows, "float64") - mean) / deviation
        return np.concatenate([rows, np.full((len(rows), 1), BIAS)], axis=1)

    a = prepared(x)
    targets = 2.0 * np.eye(classes)[y] - 1.0
    if len(a) < a.shape[1]:  # the smaller of two equal systems
        gram = a @ a.T + penalty * np.eye(len(a))
        weights = a.T @ np.linalg.solve(gram, targets)
    else:
        gram = a.T @ a + penalty * np.eye(a.shape[1])
        weights = np.linalg.solve(gram, a.T @ targets)

    def predict(rows):
        return (prepared(rows) @ weights).argmax(axis=1)

    predict.weights = weights  # type: ignore[attr-defined]
    return predict
