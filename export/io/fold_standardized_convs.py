"""Folding of weight standardisation: convolution kernels standardised at export."""

import keras

from keras_vit.layers import StdConv
from keras_vit.private_keras import flatten_layers, share_storage


def rebuilt(model, change):
    """Rebuild a model from changed layer configurations, with weights of its own.

    Args:
        model: functional or Sequential Keras model.
        change: function of a layer's configuration that gives another.

    Returns:
        Keras model, notes included.
    """

    def rebuild(layer):
        return layer.__class__.from_config(change(layer.get_config()))

    twin = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    for note in ("preprocessing", "labels"):
        if hasattr(model, note):
            setattr(twin, note, getattr(model, note))
    return twin


def fold_standardized_convs(model):
    """Copy a model with plain convolutions in place of standardised ones.

    A phone has no use for the raw kernels, nor the time to standardise them for
    every image.

    Args:
        model: functional or Sequential Keras model.

    Returns:
        The model itself where there is nothing to do; else a twin that shares all
        other weights with it.
    """
    raw = _convolutions(model)
    if all(layer.baked for layer in raw):
        return model
    twin = rebuilt(model, _bake)
    kernels = {
        id(new.kernel): old
        for old, new in zip(raw, _convolutions(twin), strict=True)
        if new.baked
    }
    for source, target in zip(model.variables, twin.variables, strict=True):
        if id(target) in kernels:
            target.assign(kernels[id(target)].standardised_kernel())
        else:  # the same storage, so that a file holds it once
            share_storage(target, source)
    return twin


def _convolutions(model):
    return [layer for layer in flatten_layers(model) if isinstance(layer, StdConv)]


def _bake(config):
    return {**config, "baked": True} if "baked" in config else config
