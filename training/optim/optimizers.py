"""The optimiser of a run, from its recipe."""

import inspect

import keras

from keras_vit.private_keras import flatten_layers
from keras_vit.training.optim import named_options, param_groups, update_rules
from keras_vit.training.optim.param_groups import decays
from keras_vit.training.optim.update_rules import LARS

OPTIMIZERS = {
    "adamw": update_rules.AdamW,
    "sgd": update_rules.Momentum,
    "adafactor": update_rules.Adafactor,
    "lars": update_rules.LARS,
    "lamb": update_rules.LAMB,
    "lion": update_rules.Lion,
}
OWN = ("learning_rate", "weight_decay", "rates", "name", "options", "args")


def check(where, given):
    """Class and options of an optimiser by name, or by dict; see `choices.read`."""
    return named_options.read(where, given, OPTIMIZERS, _options)


def _options(kind):
    """Names of what an optimiser takes beside the fields of a recipe."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("keras_vit")]
    ours += [keras.optimizers.Lion] if issubclass(kind, keras.optimizers.Lion) else []
    found = [name for base in ours for name in inspect.signature(base).parameters]
    fixed = set(inspect.signature(keras.optimizers.Optimizer).parameters)
    return sorted(set(found) - fixed - set(OWN) - {"kwargs"})


def make_optimizer(recipe, schedule, model):
    """The optimiser that a recipe names, with its decay, rates and clipping.

    Gradients are clipped together, by the norm of all of them. The engine hands over
    gradients that are summed over devices and pieces of the batch already, so that
    this is the norm of the gradient of the whole batch.

    Args:
        recipe: `Recipe`. schedule: step -> learning rate.
        model: built.

    Returns:
        Keras optimiser; wrapped for loss scaling when the model computes in
        float16.

    Raises:
        ValueError: for a pattern that no variable of the model has.
    """
    kind, options = check("optimizer", recipe.optimizer)
    if "beta_2" in _options(kind) and kind is not update_rules.Lion:
        options = {"beta_2": recipe.beta_2, **options}
    optimizer = kind(
        schedule,
        weight_decay=recipe.weight_decay,
        rates=all_rates(recipe, model),
        global_clipnorm=recipe.clipnorm,
        use_ema=recipe.ema is not None,
        ema_momentum=recipe.ema or 0.0,
        **options,
    )
    param_groups.check_patterns("decays", options.get("decays") or {}, model.variables)
    policies = {layer.dtype_policy.name for layer in flatten_layers(model)}
    if "mixed_float16" in policies:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def all_rates(recipe, model):
    """Factors on the learning rate: of depth, times those of the recipe."""
    given = dict(recipe.rates or {})
    param_groups.check_patterns("rates", given, model.variables)
    if recipe.layer_decay is None:
        return given
    found = param_groups.layer_rates(model, recipe.layer_decay)
    for text, value in given.items():
        found[text] = found.get(text, 1.0) * value
    return found


__all__ = ["LARS", "OPTIMIZERS", "all_rates", "check", "decays", "make_optimizer"]
