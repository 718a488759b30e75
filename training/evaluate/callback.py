"""Scores of a data set while a model trains, beyond those that Keras counts."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit import files
from keras_vit.training.checkpoint.retry_write import Patience
from keras_vit.training.engine import inner
from keras_vit.training.evaluate.imagenet_real import real_share
from keras_vit.training.evaluate.report import Report, report
from keras_vit.types import Dataset, FilePath

SCORES = ("val_calibration_error", "val_log_loss")


class ReportScores(keras.callbacks.Callback):
    """Report on a data set after epochs, and put the scores beside the other numbers.

    They are "val_calibration_error", "val_log_loss" and, with reassessed labels,
    "val_real". `report` has all of the latest `Report`.

    Args:
        dataset: gives (images, labels), as `training.load_split` returns them.
        every: report after every so many epochs, counted from the first.
        confusion: PNG that the confusion matrix is drawn into, renewed each time; or
            None.
        real: labels of ImageNet's validation images as `real_labels` gives them, in
            the order of the data set; or None.

    Raises:
        ValueError: for every below 1. FileExistsError: when the PNG exists.
    """

    adds_scores = True

    def __init__(
        self,
        dataset: Dataset,
        every: int = 1,
        confusion: FilePath | None = None,
        real: Sequence[tuple] | None = None,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every: must be 1 or more, got {every}. Use every=1.")
        if confusion is not None:
            files.check_target(confusion)
        self.dataset, self.every = dataset, every
        self.confusion, self.real = confusion, real
        self.report: Report | None = None
        self.patience = Patience("the confusion matrix")

    @property
    def _names(self):
        return SCORES if self.real is None else (*SCORES, "val_real")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the scores to `logs`; must stand before what writes them."""
        if epoch % self.every:  # what is missing would end Keras' own log
            logs.update(dict.fromkeys(self._names, math.nan))
            return
        self.report = found = report(inner(self.model), self.dataset, verbose=0)
        values = [found.calibration_error, found.log_loss]
        if self.real is not None:
            values.append(real_share(found.outcomes, self.real)["real"])
        logs.update(zip(self._names, values, strict=True))
        if self.confusion is not None:
            self.patience.attempt(lambda: found.plot_confusion(self.confusion, True))
