"""Training: data, steps, epochs, recipes, metrics.

It lies in the folder `training/` and is imported as `keras_vit.training`.
"""

if __name__ != "keras_vit.training":
    raise ImportError(
        f"this folder must be imported as keras_vit.training, "
        f"got the name {__name__!r}. "
        "Write: from keras_vit import training"
    )

import importlib

from keras_vit import _needs

if not _needs.has("tensorflow"):
    raise ImportError(_needs.TENSORFLOW.format(__name__))

from keras_vit.training import evaluate
from keras_vit.training.data import (
    DataInfo,
    class_names,
    image_names,
    load_data,
    load_split,
)
from keras_vit.training.data.prepare_folder import prepare
from keras_vit.training.dry_run import Plan, dry_run
from keras_vit.training.engine.strategy import choose as choose_strategy
from keras_vit.training.logging.plot_history import draw_curves
from keras_vit.training.loop import Result, fit
from keras_vit.training.methods.lora_and_freeze import merge_lora
from keras_vit.training.more_epochs import go_on
from keras_vit.training.preview import draw_batch
from keras_vit.training.pseudo_labels import pseudo_label
from keras_vit.training.recipes import Recipe, get_recipe, list_recipes

__all__ = [
    "DataInfo",
    "Plan",
    "Recipe",
    "Result",
    "class_names",
    "choose_strategy",
    "draw_batch",
    "draw_curves",
    "dry_run",
    "evaluate",
    "fit",
    "get_recipe",
    "go_on",
    "image_names",
    "list_recipes",
    "load_data",
    "load_split",
    "merge_lora",
    "prepare",
    "pseudo_label",
]

# Modules that the guides named before they got rooms of their own.
_MOVED = {"rates": "optim.param_groups"}


def __getattr__(name):
    """A module under its earlier name."""
    if name in _MOVED:
        return importlib.import_module(f"{__name__}.{_MOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
