"""Recipes by name: everything that decides a training run, on one page each."""

import difflib

from keras_vit.training.recipes import cifar10, digits, finetune
from keras_vit.training.recipes.base import Recipe

RECIPES = {module.RECIPE.name: module.RECIPE for module in (cifar10, digits, finetune)}


def list_recipes():
    """Names that `get_recipe` and `fit` take.

    >>> list_recipes()
    ['cifar10', 'digits', 'finetune']
    """
    return sorted(RECIPES)


def get_recipe(name, /, **overrides):
    """Look a recipe up, and change fields of it.

    Args:
        name: see `list_recipes`, or a `Recipe`.
        **overrides: fields of `Recipe`.

    Returns:
        `Recipe`.

    Raises:
        ValueError: for an unknown name or a bad value.
        TypeError: for a field that does not exist. Both with the nearest
            spelling.
    """
    if isinstance(name, Recipe):
        return name.override(**overrides)
    if name not in RECIPES:
        near = difflib.get_close_matches(str(name), RECIPES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(list_recipes())
        raise ValueError(f"no recipe {name!r}. {hint}Known recipes: {known}.")
    return RECIPES[name].override(**overrides)


__all__ = ["RECIPES", "Recipe", "get_recipe", "list_recipes"]
