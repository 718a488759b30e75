"""Training curves, read from a History, a dict or a CSV log."""

import csv
import os
import pathlib

from keras_vit.weights import places

LOG = "history.csv"  # of a training run
MODELS = ("best.keras", "last.keras")  # that a run writes beside it


def beside(model):
    """Find the training log beside a model file.

    Args:
        model: path of `best.keras` or `last.keras` in the folder of a run, or the
            folder.

    Returns:
        (path, ""); (None, why not) for a log that cannot be read; (None, "") for other
        names, and where there is no log.
    """
    model = pathlib.Path(places.find(model))
    log = model.with_name(LOG)
    if model.name not in MODELS or not log.is_file():
        return None, ""
    try:
        read_history(log)
    except (OSError, ValueError, csv.Error) as err:
        return None, str(err)
    return log, ""


def read_history(history):
    """Convert training curves to a common form.

    Args:
        history: a dict of lists (one number per epoch), a Keras `History`, None or
            False for none, or the path of a file that Keras' CSVLogger wrote.

    Returns:
        name -> list of floats.

    Raises:
        FileNotFoundError: when there is no such file.
        TypeError, ValueError: for anything that holds no curves.
    """
    if history is None or history is False:
        return {}
    if isinstance(history, (str, os.PathLike)):
        return _from_csv(pathlib.Path(history))
    history = getattr(history, "history", history)
    if not isinstance(history, dict):
        raise TypeError(
            "history: must be a dict of lists, a Keras History or the path of a CSV "
            f"log, got {type(history).__name__}. Pass result.history, for example."
        )
    return {str(name): [_number(v) for v in values] for name, values in history.items()}


def source_of(history):
    """File name of the curves as text; None for curves passed in memory."""
    return os.fspath(history) if isinstance(history, (str, os.PathLike)) else None


def _from_csv(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such log. Leave history out, or check it.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path}: must hold at least one epoch, got none.")
    return {name: [_number(row[name]) for row in rows] for name in rows[0]}


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def panels(history):
    """Group training and validation curves of one metric.

    Args:
        history: as `read_history` returns.

    Returns:
        title -> {"training": [...], "validation": [...]}; losses first, then
        accuracies, then the rest, four at most.

    >>> panels({"loss": [1.0], "val_loss": [2.0], "lr": [0.1]})
    {'loss': {'training': [1.0], 'validation': [2.0]}}
    """
    curves = {}
    for name, values in history.items():
        title = name.removeprefix("val_")
        if title in ("epoch", "lr", "learning_rate"):
            continue
        kind = "validation" if name.startswith("val_") else "training"
        curves.setdefault(title, {})[kind] = values
    ranks = {"loss": 0, "accuracy": 1}
    order = sorted(curves, key=lambda title: ranks.get(title, 2 - ("acc" in title)))
    return {title: dict(sorted(curves[title].items())) for title in order[:4]}
