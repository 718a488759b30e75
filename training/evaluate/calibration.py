"""Calibration: whether a model is as often right as its confidence says."""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Bin:
    """Answers of about the same confidence.

    Args:
        count: answers. confidence: their mean, 0..1. accuracy: share right, 0..1.
    """

    count: int
    confidence: float
    accuracy: float


def calibration_bins(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15
) -> tuple[Bin, ...]:
    """Sort answers by their confidence into equal parts of 0..1.

    Args:
        confidence: (n,) probability of each answer. right: (n,) bool.
        bins: number of parts; one includes its upper end.

    Returns:
        Tuple of `Bin`; parts without answers are left out.

    Raises:
        ValueError: for less than one part.
    """
    if bins < 1:
        raise ValueError(f"bins: must be 1 or more, got {bins}. Use bins=15.")
    place = np.clip(np.ceil(confidence * bins).astype("int64") - 1, 0, bins - 1)
    chosen = (place == k for k in range(bins))
    return tuple(
        Bin(int(part.sum()), float(confidence[part].mean()), float(right[part].mean()))
        for part in chosen
        if part.any()
    )


def calibration_error(bins: Iterable[Bin]) -> float:
    """Mean distance between confidence and accuracy, weighted by answers.

    `ECE = sum_m |B_m| / n * |acc(B_m) - conf(B_m)|`.

    Args:
        bins: of `calibration_bins`.

    Returns:
        0..1; 0 is what a model has that is right in 80% of the cases in which it
        says 80%.

    Source:
        Guo et al. 2017, arXiv:1706.04599, eq. (3), with their 15 bins.

    >>> round(calibration_error([Bin(3, 0.9, 0.7), Bin(1, 0.5, 0.5)]), 4)
    0.15
    """
    total = sum(part.count for part in bins)
    return sum(p.count * abs(p.accuracy - p.confidence) for p in bins) / total
