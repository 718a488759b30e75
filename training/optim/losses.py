"""Loss functions of classifiers, and of distillation."""

import inspect

import keras
from keras import ops

from keras_vit.training.optim import named_options


@keras.saving.register_keras_serializable("keras_vit")
class SoftmaxCrossentropy(keras.losses.Loss):
    """Cross-entropy over softmax, with label smoothing.

    With K classes and smoothing s the target of the true class is
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


@keras.saving.register_keras_serializable("keras_vit")
class SigmoidCrossentropy(keras.losses.Loss):
    """Binary cross-entropy over sigmoid: every class on its own, is it there or not?

    `-sum over k of y_k log s(z_k) + (1 - y_k) log s(-z_k)`, s the sigmoid. It goes
    with a head that starts at a negative bias (`head_bias` of the model: -6.9 for
    1,000 classes, -10 for 21,843), so that "not there" costs nothing at first.

    Args:
        label_smoothing: as in `SoftmaxCrossentropy`.
        mean_of_classes: divide by K (DeiT-III, timm) rather than sum (big_vision).
        binary_targets: take each target above 0 for 1, so that both images of a
            mixed one are there (DeiT-III).
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call:
        y_true: (B,) int labels, or (B, K) targets. y_pred: (B, K) logits.

    Source:
        Beyer et al. 2020, arXiv:2006.07159, section 5; big_vision `sigmoid_xent`.
    """

    def __init__(
        self,
        label_smoothing=0.0,
        mean_of_classes=False,
        binary_targets=False,
        reduction="sum_over_batch_size",
        name="sigmoid_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = label_smoothing
        self.mean_of_classes = mean_of_classes
        self.binary_targets = binary_targets

    def call(self, y_true, y_pred):
        """Loss of each image, (B,)."""
        classes = y_pred.shape[-1]
        if len(y_true.shape) == 1:
            y_true = ops.one_hot(ops.cast(y_true, "int32"), classes)
        y_true = ops.cast(y_true, y_pred.dtype)
        if self.binary_targets:
            y_true = ops.cast(y_true > 0, y_pred.dtype)
        y_true = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        there, absent = ops.log_sigmoid(y_pred), ops.log_sigmoid(-y_pred)
        each = -(y_true * there + (1.0 - y_true) * absent)
        gather = ops.mean if self.mean_of_classes else ops.sum
        return gather(each, axis=-1)

    def get_config(self):
        """Plain values that rebuild this loss."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "mean_of_classes": self.mean_of_classes,
            "binary_targets": self.binary_targets,
        }


LOSSES = {"softmax": SoftmaxCrossentropy, "sigmoid": SigmoidCrossentropy}


def make_loss(recipe, ending):
    """The loss of a recipe.

    Args:
        recipe: `Recipe`. ending: of the model, see
            `keras_vit.models.output_activation.ending`.

    Raises:
        ValueError: for a model whose scores the loss cannot take.
    """
    kind, options = check("loss", recipe.loss)
    if kind is SoftmaxCrossentropy and ending != "sigmoid":
        return kind(recipe.label_smoothing, from_logits=ending == "logits")
    if ending != "logits":
        raise ValueError(
            f"loss: {recipe.loss!r} needs logits, got a model that ends in a {ending}. "
            "Build it with classifier_activation=None."
        )
    return kind(recipe.label_smoothing, **options)


def check(where, given):
    """Class and options of a loss by name, or by dict; see `choices.read`."""
    return named_options.read(where, given, LOSSES, _options)


def _options(kind):
    """Names of what a loss takes beside the fields of a recipe."""
    both = ("mean_of_classes", "binary_targets")
    return [name for name in both if name in inspect.signature(kind).parameters]


def hard_distillation(teacher, student):
    """Cross-entropy of the student with the class that the teacher thinks best.

    Args:
        teacher, student: (B, K) logits.

    Returns:
        (B,).

    Source:
        Touvron et al. 2020, arXiv:2012.12877 (DeiT), eq. (3).
    """
    best = ops.one_hot(ops.argmax(teacher, axis=-1), student.shape[-1])
    return -ops.sum(best * ops.log_softmax(student, axis=-1), axis=-1)


def soft_distillation(teacher, student, temperature=1.0, mean_of_classes=True):
    """Divergence of the student's softened answer from the teacher's.

    `tau^2 sum over k of p_k (log p_k - log q_k)`, p and q the softmax of logits over
    tau.

    Args:
        teacher, student: (B, K) logits. temperature: tau, above 0.
        mean_of_classes: divide by K, as DeiT's code does and its eq. (2) does not.

    Returns:
        (B,).

    Source:
        Hinton et al. 2015, arXiv:1503.02531; arXiv:2012.12877, eq. (2).
    """
    log_p = ops.log_softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(student / temperature, axis=-1)
    gather = ops.mean if mean_of_classes else ops.sum
    return temperature**2 * gather(ops.exp(log_p) * (log_p - log_q), axis=-1)
