"""Metrics that are shown while a model trains."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vit")
class TopK(keras.metrics.MeanMetricWrapper):
    """Top-k accuracy: share of images whose class is among the best k answers.

    Args:
        k: how many answers may be tried.
        name, dtype: as in `keras.metrics.Metric`.

    Call:
        y_true: (B,) int labels, or (B, K) targets, of which the largest counts:
            images that were mixed have more than one.
        y_pred: (B, K) scores.
    """

    def __init__(self, k=1, name="top_k", dtype=None):
        super().__init__(among_best, name, dtype, k=k)
        self.k = k

    def get_config(self):
        """Plain values that rebuild this metric."""
        return {"name": self.name, "dtype": self.dtype, "k": self.k}


def among_best(y_true, y_pred, k):
    """1 for each image whose class is among the best k answers, else 0: (B,)."""
    if len(y_true.shape) == 2:
        y_true = ops.argmax(y_true, axis=-1)
    y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
    if k == 1:  # among equals the first wins: a fresh head is not right by default
        right = ops.equal(y_true, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        return ops.cast(right, "float32")
    return ops.cast(ops.in_top_k(y_true, y_pred, k), "float32")
