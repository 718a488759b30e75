"""What the outputs of a model mean, and how two answers are compared, by task.

The half of a task that training and export share, in numpy alone. An output is read as
decisions, one row of scores each: one per image in classification, one per pixel where
every pixel has a label. The other half, targets and losses, is `training.tasks`.
"""

from typing import Protocol

import numpy as np

UNJUDGED = -(2**31)  # a label of what is not scored, such as the border of an object


class Output(Protocol):
    """An output of a model or a file: its name and its shape, batch first."""

    name: str
    shape: tuple


class OutputTask:
    """What an output means: here features, among which nothing is decided.

    Attributes:
        name: of the task.
        purpose: what a model with such an output is, in two words.
        score: what the share of right decisions is called.
        unit: what one decision is about: "image", "pixel".
    """

    name: str = "features"
    purpose: str = "Image features"
    score: str = "top-1"
    unit: str = "image"

    def classes(self, output: Output) -> int | None:
        """K, among which each decision is made; None for an output of another task."""
        return None

    def check_labels(self, labels, count: int, output: Output) -> np.ndarray:
        """Labels of images, to judge answers by.

        Args:
            labels: as the user holds them. count: of the images. output: that they
                are compared with.

        Raises:
            ValueError: for labels that do not fit; here for all but class indices.
        """
        return check_class_numbers(labels, count, output)

    def rows(self, scores: np.ndarray) -> np.ndarray:
        """Scores of a batch, (B, ..., K), as one row per decision, (N, K)."""
        return scores

    def targets(self, labels: np.ndarray, shape: tuple) -> np.ndarray:
        """Labels of a batch, one per decision.

        Args:
            labels: (B,) class indices or (B, K) shares. shape: of the scores.

        Returns:
            (N,) int64 in the order of `rows`; UNJUDGED where nothing is scored.
        """
        labels = np.asarray(labels)
        return labels.argmax(axis=1) if labels.ndim == 2 else labels.astype("int64")


class Classification(OutputTask):
    """One of K classes for each image: scores (B, K), labels (B,)."""

    name = "classification"
    purpose = "Image classifier"

    def classes(self, output: Output) -> int | None:
        """K of (B, K); None for features, and for other shapes."""
        if output.name.partition("_")[0] == "features" or len(output.shape) != 2:
            return None
        return output.shape[-1]


FEATURES, CLASSIFICATION = OutputTask(), Classification()
OUTPUT_TASKS: dict[str, OutputTask] = {"classification": CLASSIFICATION}


def register(task: OutputTask) -> None:
    """Let exporters know what another kind of output means; the latest is asked first.

    Raises:
        ValueError: for a name that is taken by another.
    """
    if OUTPUT_TASKS.setdefault(task.name, task) is not task:
        raise ValueError(
            f"task: names must differ, got {task.name!r} again. Give it another name."
        )


def output_task(output: Output) -> OutputTask:
    """The task of an output; FEATURES where no task knows it.

    Args:
        output: the first of a model or file.
    """
    for task in reversed(OUTPUT_TASKS.values()):
        if task.classes(output) is not None:
            return task
    return FEATURES


def check_class_numbers(labels, count: int, output: Output) -> np.ndarray:
    """(B,) class indices, from what may be one-hot.

    Args:
        labels, count, output: as in `OutputTask.check_labels`.

    Raises:
        ValueError: for another number of them, or what are no indices of the classes.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(labels), -1)[:, 0] if labels.ndim == 2 else labels
    if labels.shape != (count,):
        raise ValueError(
            f"labels: must be one for each of {count} images, got shape "
            f"{labels.shape}. Cut both to the same length."
        )
    if len(output.shape) != 2:
        raise ValueError(
            "labels: need a model that gives scores (B, K), got features. Leave "
            "labels out."
        )
    check_indices(labels, output.shape[1])
    return labels


def check_indices(labels: np.ndarray, classes: int) -> None:
    """Make sure that labels are indices of the classes.

    Args:
        labels: of any shape. classes: K.

    Raises:
        ValueError: with the way out where they are counted from 1.
    """
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels: must be whole numbers from 0 to {classes - 1}, got dtype "
            f"{labels.dtype} such as {labels.ravel().tolist()[0]!r}. Pass indices: "
            "[model.labels.index(name) for name in names]."
        )
    if labels.min() < 0 or labels.max() >= classes:
        one = labels.min() > 0 and labels.max() == classes
        hint = (
            "They seem to be counted from 1: pass labels - 1."
            if one
            else "Count classes from 0, in the order of the model's outputs."
        )
        raise ValueError(
            f"labels: must be whole numbers from 0 to {classes - 1}, got "
            f"{labels.min()} to {labels.max()}. {hint}"
        )
