"""Top-k accuracy: share of images whose class is among the best k answers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.training.evaluate.predictions import outcomes
from keras_vit.types import Dataset


def top_k(
    model: keras.Model,
    dataset: Dataset,
    k: int | Sequence[int] = (1, 5),
    verbose: int = 1,
) -> dict[str, Any]:
    """Count right answers, exactly, over every image.

    Args:
        model, dataset, verbose: as in `outcomes`.
        k: how many answers may be tried; one number or several. A k above K
            counts as K.

    Returns:
        Dict with "top1", "top5" and so on, shares 0..1, and "count", images.

    Raises:
        ValueError: for an empty data set, a k below 1, or labels that the model
            has no output for.
    """
    wanted = checked(k)
    found = outcomes(model, dataset, verbose)
    return {**shares(found, wanted), "count": len(found.labels)}


def checked(k):
    """One number or several as a tuple.

    Raises:
        ValueError: for none, or one below 1.
    """
    wanted = (k,) if isinstance(k, int) else tuple(k)
    if not wanted or min(wanted) < 1:
        raise ValueError(f"k: must be 1 or more, got {k!r}.")
    return wanted


def shares(found, wanted):
    """Dict with "top1" and so on of `Outcomes`."""
    return {f"top{limit}": float(np.mean(found.ranks < limit)) for limit in wanted}
