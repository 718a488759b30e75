"""The model of a run: given or built, and checked against the data."""

import os

import keras
import tensorflow as tf

import keras_vit
from keras_vit.errors import DataError
from keras_vit.models import VisionTransformer, create
from keras_vit.models.pretraining import PretrainingModel
from keras_vit.training.data.augment import get_preset
from keras_vit.training.data.pipeline import sides
from keras_vit.training.methods import lora_and_freeze, remat

# What "kind" in the dict of a recipe's model may be: models with a loss of their own.
KINDS = (
    "MaskedAutoencoder",
    "MaskedPatchPrediction",
    "SimCLR",
    "MoCoV3",
    "ImageGPT",
)


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


def check_given(model, recipe, data=None, devices=1):
    """A model that is given decides its own size and precision.

    Args:
        model: `keras.Model`, or None when the recipe's will be built.
        recipe: `Recipe`. data: that were given, of which loaded ones were augmented.
        devices: that share each batch.
    """
    _check_batches(model, recipe, data, devices)
    if model is None:
        return
    if isinstance(model, PretrainingModel):
        _check_unlabelled(recipe)
    else:
        _check_shapes(model)
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


def _check_shapes(model):
    shapes = [tuple(model.input_shape), tuple(model.output_shape)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 2:
        raise ValueError(
            "model: must map images (B, H, W, C) to scores (B, K), got "
            f"{shapes[0]} to {shapes[1]}. Give it a head for classes."
        )


def _check_batches(model, recipe, data, devices):
    """Views of each image, and batches that may not be cut, are the model's affair."""
    kind = _kind(model, recipe)
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


def _kind(model, recipe):
    """The class that learns without labels, before it is built, or None."""
    if model is not None:
        return type(model) if isinstance(model, PretrainingModel) else None
    name = recipe.model.get("kind") if isinstance(recipe.model, dict) else None
    return getattr(keras_vit, name) if name in KINDS else None


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


def _check_unlabelled(recipe):
    """A model that learns without labels has a loss of its own, and no score."""
    other = "keras_vit.classifier_from(model, classes=...) for a classifier"
    for field, value, remedy in (
        ("monitor", "val_loss", f", or model={other}"),
        ("teacher", None, ""),
        ("progressive", (), ""),
    ):
        if getattr(recipe, field) != value:
            raise ValueError(
                f"{field}: a model that learns without labels needs {field}={value!r}, "
                f"got {getattr(recipe, field)!r}. Pass {field}={value!r}{remedy}."
            )


def prepare_model(given, recipe, info):
    """The model to train, with its two notes; under a strategy, on its devices."""
    if given is None:
        model = _build(recipe, info)
    elif not (tf.distribute.has_strategy() or keras.distribution.distribution()):
        model = given
    else:
        model = type(given).from_config(given.get_config())
        model.set_weights(given.get_weights())
    _check_fit(model, info)
    _tune(model, recipe)
    for noted in (model, given):
        if noted is not None:
            if not isinstance(model, PretrainingModel):
                noted.labels = list(info.class_names)
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


def _build(recipe, info):
    """The recipe's model for these data."""
    shape = (*info.image_size, info.channels)
    options = {} if isinstance(recipe.model, str) else dict(recipe.model)
    if "kind" in options:
        return _build_unlabelled(options, recipe, info)
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


def _build_unlabelled(options, recipe, info):
    """A model of `KINDS` for these data."""
    kind = options.pop("kind")
    if kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise ValueError(f"model: kind must be one of {known}, got {kind!r}.")
    _check_unlabelled(recipe)
    common = {"image_size": info.image_size, "dtype": recipe.precision}
    note = {"preprocessing": info.preprocessing}
    return getattr(keras_vit, kind)(**{**common, **note, **options})


def _check_fit(model, info):
    """Make sure that model and data speak of the same images and classes."""
    if not isinstance(model, PretrainingModel):
        _check_classes(model, info)
    shape, images = model.input_shape[1:], (*info.image_size, info.channels)
    for side, expected in zip(shape, images, strict=True):
        if side not in (None, expected):
            raise ValueError(
                f"model: takes images of shape {shape}, got {images} from "
                f"{info.source}. Load the data with image_size={shape[:2]}."
            )


def _check_classes(model, info):
    if info.classes < 2:
        raise DataError(
            f"{info.source}: must hold two classes or more, got only "
            f"{info.class_names[0]!r}. Add images of another class."
        )
    classes = model.output_shape[-1]
    if classes != info.classes:
        raise ValueError(
            f"model: must have {info.classes} outputs, one per class of {info.source}, "
            f"got {classes}. Build it with classes={info.classes}."
        )
