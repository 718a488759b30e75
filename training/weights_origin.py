"""The origin of the initial weights, in a line: published, a file, RANDOM."""

import pathlib

import keras
import numpy as np

from keras_vit import variants, weights
from keras_vit.training.recipes import RECIPES, get_recipe
from keras_vit.weights import places


def whose(model):
    """Where the weights of a model that was given come from, as far as it tells."""
    report = getattr(model, "loading_report", None)
    if report is not None:
        return f"{report.path}, in the model that was given"
    if untrained(model):
        return f"RANDOM, in the model that was given: {model.name} was never trained"
    return f"those of the model that was given, {model.name}"


def untrained(model):
    """Whether a model is as it was built: shifts of norms begin at zero and leave it.

    Args:
        model: with weights; of one without norms nothing can be told.
    """
    shifts = [w for w in model.weights if w.name == "beta"]
    return bool(shifts) and not any(
        np.any(keras.ops.convert_to_numpy(w)) for w in shifts
    )


def built(model):
    """The line of a model that a recipe builds."""
    if isinstance(model, dict):
        published = model.get("weights")
        if published is not None:
            return f"published, {published}"
        model = model.get("variant") or model.get("kind") or "VisionTransformer"
    return f"RANDOM, {model} is built anew"


def check_random(recipe, asked):
    """A recipe without a model of its own goes on from trained weights.

    Raises:
        ValueError: for random ones that nobody asked for.
    """
    own = RECIPES.get(recipe.name, get_recipe(asked)).model
    published = isinstance(recipe.model, dict) and recipe.model.get("weights")
    if own is not None or recipe.random_weights or published:
        return
    name = recipe.model if isinstance(recipe.model, str) else "a model of numbers"
    raise ValueError(
        f"model: recipe {recipe.name!r} goes on from trained weights, got {name!r}, "
        f"whose weights would be RANDOM. Give a file, or a checkpoint such as "
        f"{_example(recipe.model)!r}, or pass random_weights=True to begin anew."
    )


def _example(model):
    """A published checkpoint of a model, or of any."""
    try:
        function = variants.parse(str(model)).function
    except ValueError:
        function = "ViT_Ti16"
    found = weights.list_checkpoints(f"{function}.*")
    return (found or weights.list_checkpoints("ViT_Ti16.*"))[0]


def stored(name):
    """The line of trained weights, by their name."""
    if name.startswith(weights.hub.SCHEME):
        return f"published, {name}"
    if pathlib.Path(name).expanduser().exists():
        return f"file {places.find(name)}"
    return f"published, {name}"
