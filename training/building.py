"""The model of a run: given or built, and checked against the data."""

import tensorflow as tf

from keras_vit.models import VisionTransformer, create
from keras_vit.training import remat, tuning


def check_given(model, recipe):
    """A model that is given decides its own size and precision."""
    if model is None:
        return
    shapes = [tuple(model.input_shape), tuple(model.output_shape)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 2:
        raise ValueError(
            "model: must map images (B, H, W, C) to scores (B, K), got "
            f"{shapes[0]} to {shapes[1]}. Give it a head for classes."
        )
    if recipe.precision is not None:
        raise ValueError(
            "precision: is fixed when a model is built, got precision="
            f"{recipe.precision!r} for {model.name!r}. Build it with dtype="
            f"{recipe.precision!r}."
        )


def prepare_model(given, recipe, info):
    """The model to train, with its two notes; under a strategy, on its devices."""
    if given is None:
        model = _build(recipe, info)
    elif not tf.distribute.has_strategy():
        model = given
    else:
        model = type(given).from_config(given.get_config())
        model.set_weights(given.get_weights())
    _check_fit(model, info)
    _tune(model, recipe)
    for noted in (model, given):
        if noted is not None:
            noted.labels = list(info.class_names)
            noted.preprocessing = info.preprocessing
    return model


def _tune(model, recipe):
    """Freeze, adapt and slim a model as its recipe says."""
    if recipe.freeze:
        tuning.freeze(model, recipe.freeze)
    if recipe.lora is not None:
        tuning.add_lora(model, recipe.lora)
    if recipe.remat:
        remat.rematerialize(model)


def finish(model, recipe):
    """A trained model as its user wants it: with no adapters inside."""
    return model if recipe.lora is None else tuning.merge_lora(model)


def _build(recipe, info):
    """The recipe's model for these data."""
    shape = (*info.image_size, info.channels)
    options = {} if isinstance(recipe.model, str) else dict(recipe.model)
    variant = options.pop("variant", recipe.model)
    if isinstance(variant, str):
        given = {"input_shape": shape, "classes": info.classes}
        return create(variant, **{**given, "dtype": recipe.precision, **options})
    return VisionTransformer(
        **{
            "image_size": info.image_size,
            "channels": info.channels,
            "classes": info.classes,
            "dtype": recipe.precision,
            **recipe.model,
        }
    )


def _check_fit(model, info):
    """Make sure that model and data speak of the same images and classes."""
    classes = model.output_shape[-1]
    if classes != info.classes:
        raise ValueError(
            f"model: must have {info.classes} outputs, one per class of {info.source}, "
            f"got {classes}. Build it with classes={info.classes}."
        )
    shape, images = model.input_shape[1:], (*info.image_size, info.channels)
    for side, expected in zip(shape, images, strict=True):
        if side not in (None, expected):
            raise ValueError(
                f"model: takes images of shape {shape}, got {images} from "
                f"{info.source}. Load the data with image_size={shape[:2]}."
            )
