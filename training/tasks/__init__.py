"""Tasks: what is learnt, by which targets, loss and scores, and how it is judged.

`classification` is the usual one. `register` adds another, and `task_of` finds the one
of a model and its data; nothing else in training asks what kind of model it has.
"""

import numpy as np

from keras_vit import tasks
from keras_vit.training.tasks.base import Task
from keras_vit.training.tasks.classification import Classification
from keras_vit.training.tasks.self_supervised import SelfSupervised

__all__ = ["TASKS", "Task", "choose", "find", "monitors", "register", "task_of"]

CLASSIFICATION, SELF_SUPERVISED = Classification(), SelfSupervised()
# By name; the latest is asked first, classification last.
TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, SELF_SUPERVISED)}


def register(task: Task) -> None:
    """Add a task, and what its outputs mean for exporters.

    Args:
        task: found for models and data that it `fits`, before those known so far.

    Raises:
        ValueError: for a name that is taken by another.
    """
    if TASKS.setdefault(task.name, task) is not task:
        raise ValueError(
            f"task: names must differ, got {task.name!r} again. Give it another name."
        )
    if task.output is not tasks.FEATURES:
        tasks.register(task.output)


def find(task: str | Task | None) -> Task | None:
    """A registered task by its name, or as it is; None stays None.

    Raises:
        ValueError: for one that is not registered.
    """
    found = TASKS.get(task) if isinstance(task, str) else task
    if task is None or any(found is known for known in TASKS.values()):
        return found
    known = ", ".join(map(repr, TASKS))
    raise ValueError(
        f"task: must be registered, one of {known}, got {task!r}. Call "
        "keras_vit.training.tasks.register(task) before, or leave it out."
    )


def task_of(model=None, data=None) -> Task:
    """The task of a model and its data; classification where nothing else fits.

    Args:
        model: `keras.Model`, or what a `Recipe` has in its place, or None.
        data: as in `fit`, or None.
    """
    shape = target_shape(data)
    found = reversed(TASKS.values())
    return next(task for task in found if task.fits(model, shape))


def choose(task: Task | None, recipe, model, data) -> Task:
    """The task that was asked for, or that of a run.

    Args:
        task: or None. recipe: `Recipe`. model: given or read, or None for the recipe's.
        data: as in `fit`.

    Raises:
        ValueError: for a task of models with their own loss and another model, or the
            other way round.
    """
    found = task_of(recipe.model if model is None else model, data)
    if task is None or task.own_loss == found.own_loss:
        return found if task is None else task
    raise ValueError(
        f"task: must be that of the model, {found.name!r}, got {task.name!r}. Leave it "
        "out, or pass another model."
    )


def monitors() -> dict:
    """Score that can pick the best epoch -> `max` or `min`, of all tasks."""
    return {name: best for t in TASKS.values() for name, best in t.monitors.items()}


def best_of(monitor: str):
    """`min` or `max`: what the best of several scores of this name is."""
    usual = min if monitor.endswith("loss") else max
    return monitors().get(monitor, usual)


def target_shape(data) -> tuple | None:
    """Shape of the target of one image, None where nobody knows it.

    Args:
        data: as in `fit`: of a name, nothing is known before it is opened.
    """
    if hasattr(data, "target_shape"):  # of `ArrayData`
        return data.target_shape
    if isinstance(data, dict):
        data = data.get("train")
    if isinstance(data, tuple) and len(data) == 3:  # of load_data
        shape = _second(data[0])
        return None if shape is None else shape[1:]
    if isinstance(data, tuple) and len(data) == 2:
        return np.shape(data[1])[1:] if hasattr(data[1], "shape") else None
    return _second(data)


def _second(dataset):
    """Shape of the second part of what a data set gives, or None."""
    spec = getattr(dataset, "element_spec", None)
    if not (isinstance(spec, tuple) and len(spec) == 2) or spec[1].shape.rank is None:
        return None
    return tuple(spec[1].shape)
