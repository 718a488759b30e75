"""Recipes by name: everything that decides a training run, on one page each."""

import dataclasses
import importlib
import re
from typing import Any

from keras_vit.choices import did_you_mean
from keras_vit.training.recipes.base import Recipe

FILES = (
    "cifar10",
    "digits",
    "finetune",
    "vit_i1k",
    "vit_i21k",
    "vit_finetune",
    "augreg_i1k",
    "augreg_i21k",
    "vit_s16_i1k",
    "deit",
    "deit_distilled",
    "deit3",
    "mae_pretrain",
    "mae_finetune",
    "masked_patch_prediction",
    "simclr",
    "moco_v3",
    "noisy_student",
    "igpt",
    "bit_hyperrule",
)


def _read():
    """Name -> (recipe, its module): a module has a RECIPE, or several RECIPES."""
    found = {}
    for name in FILES:
        module = importlib.import_module(f"keras_vit.training.recipes.{name}")
        for recipe in getattr(module, "RECIPES", None) or (module.RECIPE,):
            found[recipe.name] = recipe, module
    return found


_FOUND = _read()
RECIPES = {name: recipe for name, (recipe, _) in _FOUND.items()}


def list_recipes() -> list[str]:
    """Names that `get_recipe` and `fit` take.

    >>> list_recipes()[:3]
    ['augreg_i1k', 'augreg_i21k', 'bit_hyperrule']
    """
    return sorted(RECIPES)


def describe(name):
    """The page of a recipe: what for, the command, cost, score, source.

    >>> describe("deit3").split(":")[0]
    'DeiT-III'
    """
    get_recipe(name)
    return _FOUND[name][1].__doc__


def for_data(recipe, examples):
    """The recipe with what follows from the number of training images.

    Args:
        recipe: `Recipe`. examples: training images.
    """
    if recipe.data_rule is None:
        return recipe
    rule = importlib.import_module(f"keras_vit.training.recipes.{recipe.data_rule}")
    return rule.by_size(recipe, examples)


def for_side(recipe, image_size):
    """The recipe with crops of the same share, for images of another size.

    An augmentation that is not the recipe's own is left as it is.

    Args:
        recipe: `Recipe`. image_size: of the run, side in px or (H, W), or None.

    >>> for_side(RECIPES["bit_hyperrule"], 192).augment
    'resize_crop(224)|flip'
    """
    own = RECIPES.get(recipe.name)
    known = own is not None and own.image_size is not None and image_size is not None
    if not known or recipe.augment != own.augment:
        return recipe
    side = image_size if isinstance(image_size, int) else min(image_size)

    def scaled(found):
        return f"{found[1]}({round(int(found[2]) * side / own.image_size)})"

    augment = re.sub(r"(res\w+_crop)\((\d+)\)", scaled, recipe.augment)
    return dataclasses.replace(recipe, augment=augment)


def get_recipe(name: str | Recipe, /, **overrides: Any) -> Recipe:
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
        hint = did_you_mean(name, RECIPES)
        known = ", ".join(list_recipes())
        raise ValueError(f"no recipe {name!r}.{hint} Known recipes: {known}.")
    return RECIPES[name].override(**overrides)


__all__ = [
    "RECIPES",
    "Recipe",
    "describe",
    "for_data",
    "for_side",
    "get_recipe",
    "list_recipes",
]
