"""Checks of the recipe with calibration and signatures, before any slow step."""

import dataclasses

from keras_vit import ranges
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.quantization.calibration.saved_ranges import (
    check_ranges,
    is_ranges,
)
from keras_vit.export.quantization.recipe import AUTO, RANGES, names
from keras_vit.ranges import keywords


def check_calibration(recipes, quantization, calibration, reference, verbose=0):
    """Check and read what a recipe takes its ranges from.

    Args:
        recipes: table of the format. quantization: name of one, "auto", or None.
        calibration: images as in `read_calibration`; `quantization.Ranges` or the path
            of such; or None.
        reference: `Reference` of the model. verbose: 1 says what is left out of a
            folder.

    Returns:
        (N, H, W, C) float32, `Ranges`, `TrainedIntegers`, or None.

    Raises:
        TypeError, ValueError: for images that are missing, not wanted or wrong, and
            for ranges of another model.
    """
    recipe = recipes.get(quantization)
    if reference.trained is not None:
        return _trained(recipes, reference, quantization, calibration)
    if is_ranges(calibration):
        return _ranges(recipes, quantization, calibration, reference.model)
    if calibration is None:
        if recipe is None or not recipe.calibrated:
            return None
        raise ValueError(
            f"calibration: must be given with quantization={quantization!r}, got None. "
            "Pass 32 to 128 training images, prepared with model.preprocessing."
        )
    if quantization != AUTO and (recipe is None or not recipe.calibrated):
        wanting = ", ".join(names(recipes, lambda recipe: recipe.calibrated))
        raise ValueError(
            f"calibration: goes with {wanting} only, got quantization="
            f"{quantization!r}, which needs no images. Leave it out."
        )
    return read_calibration(calibration, reference, verbose)


def _trained(recipes, reference, quantization, calibration):
    """Trained ranges of a model, with images for those that are missing."""
    plan = reference.trained
    plan.check(quantization, calibration)
    if not plan.needs_images:
        return plan
    if calibration is None or is_ranges(calibration):
        raise ValueError(
            f"calibration: must be images with quantization={quantization!r}, got "
            f"{'none' if calibration is None else 'ranges'}. Pass 32 to 128 training "
            "images."
        )
    return dataclasses.replace(plan, images=read_calibration(calibration, reference))


def _ranges(recipes, quantization, calibration, model):
    """Load saved ranges of this model, for a recipe that needs nothing else."""
    served = names(recipes, lambda recipe: recipe.needs == RANGES)
    if quantization not in served:
        takers = f"only {', '.join(served)} take" if served else "no recipe here takes"
        raise ValueError(
            f"calibration: must be images with quantization={quantization!r}, got "
            f"ranges, which {takers}. Pass the images, or their folder."
        )
    return check_ranges(calibration, model)


def check_signatures(recipe, adapters):
    """Refuse what calibration images say nothing about, and no integer image holds.

    Args:
        recipe: `QuantizationRecipe`; None for float32, or one that is chosen later.
        adapters: {signature: `AdaptedReference`}.

    Raises:
        ValueError: naming the signature or the argument.
    """
    others = [name for name, adapted in adapters.items() if not adapted.view.is_base]
    name = AUTO if recipe is None else recipe.name
    if others:
        raise ValueError(
            f"signatures: with quantization={name!r} all work at the model's own "
            f"image_size and batch_size, got another in {others[0]!r}. Use "
            "'dynamic_int8', or export it as a file of its own."
        )
    mode = next(iter(adapters.values())).adapter.mode
    embeds = any(adapted.adapter.embedded for adapted in adapters.values())
    if recipe is None or recipe.image_integers != 8 or not embeds:
        return
    rows = ranges.numbers(mode)
    if rows is None or len({*rows[0]}) > 1 or len({*rows[1]}) > 1:
        raise ValueError(
            f"preprocessing: 'embed' with quantization={name!r} needs one range for "
            f"all colours, got {keywords(mode)}. Use 'static_int8', or leave it out."
        )
