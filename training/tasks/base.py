"""`Task`: what is learnt, and what the rest of training asks about it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vit import tasks
from keras_vit.errors import DataError


class Task:
    """Targets, loss, scores and models of one kind of learning.

    A new task overrides what differs and is made known by `register`.

    Attributes:
        name: of the task.
        output: `keras_vit.tasks.OutputTask`: what the outputs of its models decide,
            and how two answers are compared; exporters ask it too.
        monitors: score that can pick the best epoch -> `max` or `min`; the first is
            the usual one.
        target: the target of one image, in words. target_rank: its dimensions.
        in_image: whether targets live in the image, (B, H, W): steps of an augmentation
            that change places then move them too (nearest), those of colour do not.
        outside: the target of what comes from outside the image then.
        own_loss: whether models bring their loss along and need no targets.
        takes_new_head: whether a head for the classes of the data replaces that of a
            model with others.
    """

    name: str
    output: tasks.OutputTask = tasks.CLASSIFICATION
    monitors: dict[str, Callable] = {"val_loss": min}
    target: str = "a number"
    target_rank: int = 0
    in_image: bool = False
    outside: int = -1
    own_loss: bool = False
    takes_new_head: bool = False

    def fits(self, model: Any, target_shape: tuple | None) -> bool:
        """Whether a run is of this task.

        Args:
            model: `keras.Model`, or what a `Recipe` has in its place, or None.
            target_shape: of the target of one image, None where nobody knows it.
        """
        raise NotImplementedError

    # Targets

    def check_targets(self, where: str, targets: np.ndarray, images: np.ndarray):
        """Targets of arrays that a caller handed over, in the form that is learnt from.

        Args:
            where: the split, for messages. targets, images: (n, ...).

        Raises:
            DataError: for another shape or dtype.
        """
        raise NotImplementedError

    def class_numbers(self, targets: np.ndarray) -> np.ndarray:
        """The class indices among checked targets, without what is not scored."""
        return targets[targets != self.outside] if self.in_image else targets

    # The model

    def check_model(self, model) -> None:
        """Refuse a model that gives something else. Raises ValueError."""

    def build(self, recipe, info):
        """The recipe's model for these data."""
        raise ValueError(
            f"model: a run of the task {self.name!r} needs one, got model="
            f"{recipe.model!r} to build. Pass a keras.Model."
        )

    def check_classes(self, model, info) -> None:
        """Make sure that model and data have the same classes.

        Raises:
            DataError, ValueError: when they have not.
        """

    def labels(self, info) -> list[str] | None:
        """What the outputs are called, as a note of the model; None leaves it."""
        return list(info.class_names)

    def kind(self, model: Any) -> type | None:
        """The class that says how images are batched (`views`), or None for the usual.

        Args:
            model: as in `fits`.
        """
        return None

    def introduction(self, model) -> str:
        """A sentence for the screen before a run; "" for none."""
        return f"task: {self.name}, {self.target} for each image"

    def begin(self, model, steps: int) -> None:
        """Hear how many updates the run has that begins."""

    def share_batches(self, model, gather: Callable, share: Callable) -> None:
        """Let a model see the rows of all devices. gather, share: functions for it."""

    # Learning

    def check_recipe(self, recipe) -> None:
        """Refuse what does not go with the task.

        Raises:
            ValueError: naming field, value and way out.
        """
        if recipe.monitor not in self.monitors:
            known = ", ".join(map(repr, self.monitors))
            raise ValueError(
                f"monitor: must be one of {known} for the task {self.name!r}, got "
                f"{recipe.monitor!r}. Pass monitor={next(iter(self.monitors))!r}."
            )
        if self.in_image:
            self._check_in_image(recipe)

    def _check_in_image(self, recipe):
        """Nothing may move images alone, mix targets, or teach one vector each."""
        others = ("mixup", 0), ("cutmix", 0), ("progressive", ()), ("teacher", None)
        for field, none in others:
            value = getattr(recipe, field)
            if value and value != none:
                raise ValueError(
                    f"{field}: does not go with the task {self.name!r}, whose targets "
                    f"live in the image, got {value!r}. Pass {field}={none!r}."
                )

    def loss(self, model, recipe):
        """`keras.losses.Loss`, the mean of (B,); None for that of the model itself."""
        raise NotImplementedError

    def metrics(self, info) -> list:
        """Scores that are counted while a model trains: `keras.metrics.Metric`s."""
        return []


def label_error(where: str, wanted: str, targets: np.ndarray, hint: str) -> DataError:
    """The error of arrays with other targets; see `Task.check_targets`."""
    return DataError(
        f"data: labels of {where!r} must be {wanted}, got {targets.dtype} of shape "
        f"{targets.shape}. {hint}"
    )
