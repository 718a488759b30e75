"""The model of a run: given or built, and checked against the data."""

import os

import keras
import tensorflow as tf

from keras_vit.training import tasks
from keras_vit.training.data.augment import get_preset
from keras_vit.training.data.pipeline import sides
from keras_vit.training.methods import lora_and_freeze, remat


def check_model(model, overrides):
    """What is given as a model is one, or says how to get one.

    Args:
        model: as given to `fit`. overrides: fields of the recipe given with it.

    Raises:
        TypeError: for another type. ValueError: for another image size.
    """
    if model is None or isinstance(model, str | os.PathLike | dict):
        return
    if not isinstance(model, keras.Model):
        call = ", called: ViT_Ti16(classes=10)" if callable(model) else ""
        raise TypeError(
            f"model: must be a Keras model, a file, a name or a dict, got {model!r}. "
            f"Pass model='ViT-Ti/16', for example, or a model function{call}."
        )
    size, own = overrides.get("image_size"), size_of(model)
    if size is not None and None not in own and sides(size) != own:
        raise ValueError(
            f"image_size: is fixed when a model is built, got {size} for "
            f"{model.name!r}, which takes {own[0]}x{own[1]} px. Leave it out, build "
            "the model with that input_shape, or give the path of its file: then it "
            "is rebuilt."
        )


def size_of(model):
    """(H, W) px that a model takes, each None where it does not say."""
    shape = getattr(model, "input_shape", None) or (None,) * 4
    return tuple(shape[1:3])


def check_given(model, recipe, data=None, devices=1, task=None):
    """A model that is given decides its own size and precision.

    Args:
        model: `keras.Model`, or None when the recipe's will be built.
        recipe: `Recipe`. data: that were given, of which loaded ones were augmented.
        devices: that share each batch. task: `Task`; None for that of the run.
    """
    task = tasks.choose(task, recipe, model, data)
    kind = task.kind(recipe.model if model is None else model)
    _check_batches(kind, recipe, data, devices)
    task.check_recipe(recipe)
    if model is None:
        return
    task.check_model(model)
    _check_learns(model)
    if recipe.precision is not None:
        raise ValueError(
            "precision: is fixed when a model is built, got precision="
            f"{recipe.precision!r} for {model.name!r}. Build it with dtype="
            f"{recipe.precision!r}."
        )


def _check_learns(model):
    """Something of a model must be left to train."""
    if not model.trainable_variables:
        raise ValueError(
            f"model: must have a weight left to train, got {model.name!r}, whose "
            f"layers are all frozen. Set model.trainable = True, or leave some free."
        )


def _check_batches(kind, recipe, data, devices):
    """Views of each image, and batches that may not be cut, are the model's affair."""
    loaded = getattr(data[-1], "augment", None) if isinstance(data, tuple) else None
    check_views(kind, loaded or recipe.augment)
    if not getattr(kind, "whole_batch", False):
        return
    for field, value, bad in (
        ("micro_batch", None, recipe.micro_batch is not None),
        ("sharpness", None, recipe.sharpness is not None),
        ("xla", False, recipe.xla and devices > 1),
    ):
        if bad:
            raise ValueError(
                f"{field}: must be {value!r} for {kind.__name__}, whose loss compares "
                "all images of a step with each other once, got "
                f"{getattr(recipe, field)!r} on {devices} devices. Leave it out; "
                "remat=True saves memory."
            )


def check_views(kind, augment):
    """Make sure that there are as many views of each image as the model compares.

    Args:
        kind: class of the model, or None. augment: name or text.

    Raises:
        ValueError: when there are more, or fewer.
    """
    views = 1 if augment == "auto" else get_preset(augment).views
    wanted = getattr(kind, "views", 1)
    if views != wanted:
        name = "the model" if kind is None else kind.__name__
        other = "'simclr' or 'moco_v3'" if wanted > 1 else "'light'"
        raise ValueError(
            f"augment: {name} takes {wanted} view{'s' * (wanted > 1)} of each image, "
            f"got {augment!r}, which makes {views}. Pass augment={other}."
        )


def prepare_model(given, recipe, info, task=None):
    """The model to train, with its two notes; under a strategy, on its devices."""
    task = tasks.choose(task, recipe, given, None)
    if given is None:
        model = task.build(recipe, info)
    elif not (tf.distribute.has_strategy() or keras.distribution.distribution()):
        model = given
    else:
        model = type(given).from_config(given.get_config())
        model.set_weights(given.get_weights())
    _check_fit(model, info, task)
    _tune(model, recipe)
    labels = task.labels(info)
    for noted in (model, given):
        if noted is not None:
            if labels is not None:
                noted.labels = labels
            noted.preprocessing = info.preprocessing
    return model


def _tune(model, recipe):
    """Freeze, adapt and slim a model as its recipe says."""
    if recipe.freeze:
        lora_and_freeze.freeze(model, recipe.freeze)
    if recipe.lora is not None:
        lora_and_freeze.add_lora(model, recipe.lora)
    if recipe.remat:
        remat.rematerialize(model)


def finish(model, recipe):
    """A trained model as its user wants it: with no adapters inside."""
    return model if recipe.lora is None else lora_and_freeze.merge_lora(model)


def _check_fit(model, info, task):
    """Make sure that model and data speak of the same images and classes."""
    task.check_classes(model, info)
    shape, images = model.input_shape[1:], (*info.image_size, info.channels)
    for side, expected in zip(shape, images, strict=True):
        if side not in (None, expected):
            raise ValueError(
                f"model: takes images of shape {shape}, got {images} from "
                f"{info.source}. Load the data with image_size={shape[:2]}."
            )
