"""Knowledge distillation: a student learns from the predictions of a teacher."""

import dataclasses

import keras
import tensorflow as tf
from keras import ops

from keras_vit.models.input_range import UNKNOWN, stated
from keras_vit.models.output_activation import ending
from keras_vit.progress import tell
from keras_vit.ranges import pixel_statistics
from keras_vit.training.optim.losses import hard_distillation, soft_distillation

KINDS = ("hard", "soft")
TOKEN_HEADS = ("head", "head_dist")
LEAST = 1e-20  # probability that has a logarithm


@dataclasses.dataclass(frozen=True)
class Distillation:
    """The distillation loss: its kind, weight and temperature.

    `(1 - weight) * loss(class head, labels) + weight * distance(head, teacher)`. A
    student with a distillation token (DeiT) has a head of its own for the second
    part; any other uses its only one. The teacher sees what the student sees: the
    augmented and mixed images, in its own range and size.

    Args:
        kind: "hard": cross-entropy with the teacher's best class. "soft": divergence
            from its softened scores.
        weight: of the teacher, 0..1.
        temperature: of "soft", above 0.
        mean_of_classes: of "soft", see `losses.soft_distillation`.

    Raises:
        ValueError: for a value out of range.

    Source:
        Touvron et al. 2020, arXiv:2012.12877, eqs. (2) and (3).
    """

    kind: str = "hard"
    weight: float = 0.5
    temperature: float = 1.0
    mean_of_classes: bool = True

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(
                f"distillation: kind must be one of {KINDS}, got {self.kind!r}."
            )
        if not 0 <= self.weight <= 1:
            raise ValueError(
                f"distillation: weight must be 0 to 1, got {self.weight!r}. Use 0.5."
            )
        if not self.temperature > 0:
            raise ValueError(
                "distillation: temperature must be above 0, got "
                f"{self.temperature!r}. Use 1.0, or 3.0 for softer scores."
            )

    def distance(self, teacher, student):
        """Distillation loss, the mean over images, of logits (B, K)."""
        if self.kind == "hard":
            return ops.mean(hard_distillation(teacher, student))
        each = soft_distillation(
            teacher, student, self.temperature, self.mean_of_classes
        )
        return ops.mean(each)


class Lesson:
    """The teacher of a run, and the heads of its student.

    Args:
        student: `keras.Model` in training; (B, H, W, C) -> (B, K) logits.
        teacher: built `keras.Model` of any origin, images to (B, K) logits or
            probabilities, see `keras_vit.models.output_activation.ending`.
        distillation: `Distillation`.

    Raises:
        ValueError: for a teacher of other classes, or a student without logits.
    """

    def __init__(self, student, teacher, distillation):
        self.distillation = distillation
        self.teacher = teacher
        self.translate = translation(student, teacher)
        self.student = _heads(student)
        self.ending = ending(teacher)
        if ending(student) != "logits":
            raise ValueError(
                f"teacher: needs a student that ends in logits, got {student.name!r} "
                f"with a {ending(student)}. Build it with classifier_activation=None."
            )
        told, classes = _shape(teacher, "output")[-1], student.output_shape[-1]
        if told not in (None, classes):
            raise ValueError(
                f"teacher: must have the {classes} classes of the student, got {told}. "
                "Fine-tune it on these data first, or train another model."
            )

    def ask(self, images):
        """The teacher's logits (B, K), through which no gradient flows."""
        scores = self.teacher(self.translate(images), training=False)
        return ops.stop_gradient(to_logits(scores, self.ending))

    def loss(self, own_loss, images, labels, weights):
        """Loss and predictions of the student.

        Args:
            own_loss: function of (images, labels, answers, weights): the recipe's own.
            images, labels, weights: of a micro-batch.

        Returns:
            Scalar, and (b, K): the model's usual answer, both heads together.
        """
        answers, own, told = self.student(images, training=True)
        first = own_loss(images, labels, own, weights)
        second = self.distillation.distance(self.ask(images), ops.cast(told, "float32"))
        share = self.distillation.weight
        return (1.0 - share) * first + share * second, answers


def to_logits(scores, kind):
    """Logits that give the same probabilities.

    Args:
        scores: (B, K). kind: of scores, what `ending` says.

    >>> round(float(to_logits(ops.array([0.88079708]), "sigmoid")[0]), 4)
    2.0
    """
    scores = ops.cast(scores, "float32")
    if kind == "logits":
        return scores
    logs = ops.log(ops.maximum(scores, LEAST))
    if kind == "softmax":
        return logs
    return logs - ops.log(ops.maximum(1.0 - scores, LEAST))


def _heads(student):
    """Images -> the model's answer, that of the class head, that of the other."""
    names = {layer.name: layer for layer in getattr(student, "layers", ())}
    if set(TOKEN_HEADS) <= names.keys():
        outputs = [student.output, *(names[name].output for name in TOKEN_HEADS)]
        return keras.Model(student.input, outputs)

    def same(images, training):
        return (student(images, training=training),) * 3

    return same


def _shape(model, side):
    """A model's shape of "input" or "output", where it has one: of a subclass, not."""
    try:
        return getattr(model, f"{side}_shape")
    except AttributeError:
        return (None,) * 4


def translation(student, teacher):
    """Preprocessing from images as the student takes them to those of the teacher.

    Both models say how they want them in their note `preprocessing`, or a model inside
    does. A teacher without one takes them as the student does, which is said, but for
    the size, which its input has.

    Args:
        student, teacher: `keras.Model`.

    Returns:
        Function of (B, H, W, 3) float32.
    """
    theirs, own = stated(teacher)[0], stated(student)[0]
    if theirs is None:
        tell(f"teacher: gets images as the student does, which is a guess: {UNKNOWN}.")
    convert = (theirs is not None and own is not None) and theirs.range != own.range
    size = tuple(_shape(teacher, "input")[1:3])

    def translate(images):
        if convert:
            mean, std = pixel_statistics(own.range)
            images = images * std + mean
            mean, std = pixel_statistics(theirs.range)
            images = (images - mean) / std
        if None not in size and size != tuple(images.shape[1:3]):
            images = tf.image.resize(images, size, antialias=True)
        return images

    return translate
