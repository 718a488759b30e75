"""What can be checked about a recipe before there are data, a model or devices."""

import dataclasses

from keras_vit.preprocess import Preprocessing
from keras_vit.training.methods.distillation import Distillation
from keras_vit.training.methods.sam import Sharpness
from keras_vit.training.optim import losses, optimizers, param_groups, schedules


def check_optimisation(recipe):
    """Schedule, optimiser, rates.

    Raises:
        ValueError: for what does not exist or cannot be read.
    """
    schedules.check("schedule", recipe.schedule)
    optimizers.check("optimizer", recipe.optimizer)
    if isinstance(recipe.warmup, str):
        schedules.steps_of(recipe.warmup, 1, 1, 1)
    param_groups.check_factors("rates", recipe.rates or {})


def check_learning(recipe):
    """Loss, teacher, sharpness, what is frozen.

    Raises:
        ValueError: for what does not exist or does not go together.
    """
    losses.check("loss", recipe.loss)
    record("distillation", Distillation, recipe.distillation)
    record("sharpness", Sharpness, recipe.sharpness)
    record("preprocessing", Preprocessing, recipe.preprocessing)
    if isinstance(recipe.freeze, str):
        raise ValueError(
            f"freeze: must be a tuple of patterns, got {recipe.freeze!r}. Pass "
            f"freeze=({recipe.freeze!r},)."
        )
    param_groups.check_factors("freeze", dict.fromkeys(recipe.freeze, 0.0))
    if recipe.lora is not None and recipe.freeze:
        raise ValueError(
            f"lora: freezes the model by itself, got freeze={recipe.freeze!r} as well. "
            "Leave one of them out."
        )
    if recipe.remat and recipe.sharpness is not None:
        raise ValueError(
            "remat: must be False with sharpness, whose second pass has weights that "
            "are not variables, got remat=True. Use micro_batch to save memory."
        )
    _check_progressive(recipe)


def record(where, kind, options):
    """A checked record from the dict of a recipe, or None.

    Raises:
        ValueError: for an option that does not exist, or its value.
    """
    if options is None:
        return None
    known = [field.name for field in dataclasses.fields(kind)]
    for key in options:
        if key not in known:
            raise ValueError(
                f"{where}: takes {', '.join(known)}, got {key!r}. Remove it."
            )
    return kind(**options)


def _check_progressive(recipe):
    """Shares of the run that grow from 0, each with a side in px."""
    pairs = tuple(recipe.progressive)
    shares = [share for share, _ in pairs]
    if shares != sorted(set(shares)) or not all(0 <= s < 1 for s in shares):
        shares = [None]
    if shares and shares[0] != 0:
        raise ValueError(
            "progressive: must be pairs (share of the run, px) with shares from 0 "
            f"upwards and below 1, got {pairs!r}. Pass ((0, 128), (0.5, 224)), for "
            "example."
        )
    if pairs and recipe.teacher is not None:
        raise ValueError(
            f"progressive: does not go with a teacher, got {pairs!r} and teacher="
            f"{recipe.teacher!r}. Leave one of them out."
        )
