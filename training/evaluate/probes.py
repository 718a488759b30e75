"""Probes by name, on features that are computed once; and during training."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.training.engine import inner
from keras_vit.training.evaluate.features import as_features, encoder
from keras_vit.training.evaluate.few_shot import few_shot
from keras_vit.training.evaluate.knn import knn
from keras_vit.training.evaluate.linear_probe import linear_probe

PROBES = ("linear", "few_shot", "knn")
KNOWN = (*PROBES, "lars")
SHOTS = (1, 5, 10, 25)
NEIGHBOURS = 20


def probes(
    model: keras.Model | None,
    train: Any,
    test: Any,
    kinds: Sequence[str] = PROBES,
    verbose: int = 1,
) -> dict[str, float]:
    """Judge frozen features by one probe or several.

    Args:
        model: classifier or encoder, see `encoder`; None when `train` and `test`
            are (features (N, D), labels (N,)) already.
        train: images to learn from, (images, labels). test: images to score.
        kinds: some of "linear" (logistic regression), "few_shot" (least squares on
            1, 5, 10 and 25 images per class, as far as there are so many), "knn"
            (20 nearest neighbours) and "lars" (a linear classifier trained in the way
            of MAE, which is made for ImageNet; see `linear_probe`).
        verbose: 1 shows progress.

    Returns:
        Dict with "linear_top1", "shot5_top1", "knn_top1" and so on, shares 0..1.

    Raises:
        ValueError: for an unknown kind; before anything is computed.
    """
    check_kinds(kinds)
    model = None if model is None else encoder(model)
    train = as_features(model, train, verbose)
    test = as_features(model, test, verbose)
    scores = {}
    if "linear" in kinds:
        found = linear_probe(None, train, test, verbose=0)
        scores["linear_top1"] = found["top1"]
    if "lars" in kinds:
        found = linear_probe(None, train, test, method="lars", verbose=0)
        scores["lars_top1"] = found["top1"]
    if "few_shot" in kinds:
        least = int(np.bincount(train[1]).min())
        shots = [count for count in SHOTS if count <= least]
        found = few_shot(None, train, test, shots, verbose=0)
        scores |= {f"shot{count}_top1": found[count]["top1"] for count in shots}
    if "knn" in kinds:
        k = min(NEIGHBOURS, len(train[1]))
        scores["knn_top1"] = knn(None, train, test, k, verbose=0)["top1"]
    return scores


def check_kinds(kinds: Sequence[str], known: Sequence[str] = KNOWN) -> None:
    """Make sure that there are such probes.

    Raises:
        ValueError: naming those that there are.
    """
    unknown = [kind for kind in kinds if kind not in known]
    if unknown or not kinds or isinstance(kinds, str):
        raise ValueError(
            f"probes: must be some of {', '.join(known)}, got {kinds!r}. "
            "Use ('knn',), the quickest, for example."
        )


class ProbeFeatures(keras.callbacks.Callback):
    """Probe the features after epochs, and put the scores beside the other numbers.

    Epochs that are not probed have NaN, so that every epoch has a row.

    Args:
        train, test, kinds: as in `probes`.
        every: probe after every so many epochs, counted from the first.
        model: whose features; None is the model in training.
    """

    adds_scores = True

    def __init__(
        self,
        train: Any,
        test: Any,
        kinds: Sequence[str] = ("knn",),
        every: int = 1,
        model: keras.Model | None = None,
    ) -> None:
        super().__init__()
        check_kinds(kinds)
        if every < 1:
            raise ValueError(f"every: must be 1 or more, got {every}. Use every=1.")
        self.train, self.test, self.kinds, self.every = train, test, kinds, every
        self._given, self._encoder = model, None
        self._names: tuple[str, ...] = ()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the scores to `logs`; must stand before what writes them."""
        if epoch % self.every and self._names:
            logs.update(dict.fromkeys(self._names, math.nan))
            return
        if self._encoder is None:
            self._encoder = encoder(self._given or inner(self.model))
        scores = probes(self._encoder, self.train, self.test, self.kinds, verbose=0)
        self._names = tuple(scores)
        logs.update(scores)
