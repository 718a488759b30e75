"""What training makes small."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vit")
class SoftmaxCrossentropy(keras.losses.Loss):
    """Cross-entropy with softened targets.

    With K classes and smoothing s the target of the right class is
    `1 - s + s / K`, that of the others `s / K`.

    Args:
        label_smoothing: s, 0..1.
        from_logits: False when the model ends in a softmax.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call:
        y_true: (B,) int labels, or (B, K) target probabilities.
        y_pred: (B, K).

    Source:
        Szegedy et al. 2015, arXiv:1512.00567, section 7.
    """

    def __init__(
        self,
        label_smoothing=0.0,
        from_logits=True,
        reduction="sum_over_batch_size",
        name="softmax_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        """Loss of each image, (B,)."""
        if len(y_true.shape) == 1:
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            ops.cast(y_true, y_pred.dtype),
            y_pred,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self):
        """Plain values that rebuild this loss."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
        }
