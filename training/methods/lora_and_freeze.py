"""Training part of a model: frozen weights, and low-rank adapters (LoRA)."""

import itertools
import re

import keras

from keras_vit.private_keras import flatten_layers, layers_inside, own_weights
from keras_vit.training.optim.param_groups import check_patterns

ADAPTED = r"(^|/)(attention|mlp)/"


def freeze(model, patterns):
    """Freeze the weights that patterns find.

    A layer all of whose weights are found is frozen as a whole, as with
    `layer.trainable = False`: batch norms stop counting, and the saved file says so.
    Of weights inside a layer that goes on learning, files do not say it (Keras saves
    the switches of a model's own layers alone). All stay frozen afterwards.

    Args:
        model: built. patterns: regular expressions, found in paths of weights.

    Raises:
        ValueError: for a pattern that no weight has, or when nothing is left.
    """
    check_patterns("freeze", patterns, model.variables)

    def found(variable):
        return any(re.search(text, variable.path) for text in patterns)

    for layer in layers_inside(model):
        _freeze(layer, found)
    if not model.trainable_variables:
        raise ValueError(
            f"freeze: must leave a weight to train, got {list(patterns)}, which find "
            "all of them. Take one away."
        )


def _freeze(layer, found):
    """Freeze as few layers as possible, then single weights."""
    if layer.weights and all(map(found, layer.weights)):
        layer.trainable = False
        return
    for variable in own_weights(layer)[0]:
        variable.trainable = variable.trainable and not found(variable)
    for inside in layers_inside(layer):
        _freeze(inside, found)


def add_lora(model, rank, pattern=ADAPTED):
    """Add LoRA: freeze a model but its head, and train low-rank adapters.

    `kernel + a b` with a (rows, rank), b (rank, columns) and b = 0 at first, in the
    dense layers of attention and MLP (Keras' `enable_lora`). Their biases and the head
    learn too. Files hold the sum.

    Args:
        model: built. rank: of the adapters.
        pattern: found in the path of the kernels that get one.

    Returns:
        Number of adapters.

    Raises:
        ValueError: for a model without such layers.

    Source:
        Hu et al. 2021, arXiv:2106.09685.
    """
    dense = [
        layer
        for layer in flatten_layers(model)
        if isinstance(layer, keras.layers.Dense)
        and re.search(pattern, layer.kernel.path)
    ]
    if not dense:
        raise ValueError(
            f"lora: needs dense layers with {pattern!r} in the path of their kernel, "
            f"got none in {model.name!r}. Use freeze=(PATTERN,) instead."
        )
    kept = {id(v) for layer in (*dense, _last_dense(model)) for v in layer.weights}
    for layer in layers_inside(model):
        _freeze(layer, lambda variable: id(variable) not in kept)
    for layer in dense:
        if not layer.lora_enabled:
            layer.enable_lora(rank)
    return len(dense)


def _last_dense(model):
    """The layer of the logits."""
    return [x for x in flatten_layers(model) if isinstance(x, keras.layers.Dense)][-1]


def merge_lora(model: keras.Model) -> keras.Model:
    """Merge LoRA: adapters are added to their kernels, and leave the graph.

    Args:
        model: trained with `Recipe.lora`.

    Returns:
        New `keras.Model`, all of it trainable, with the notes of `model`.
    """
    config = _without_rank(model.get_config())
    merged = type(model).from_config(config)
    for layer in merged.layers:
        layer.trainable = False  # setting what is set does nothing
        layer.trainable = True
    sources = {layer.path: layer for layer in flatten_layers(model)}
    for layer in flatten_layers(merged):
        source = sources[layer.path]
        for variable in itertools.chain(*own_weights(layer)):
            variable.assign(_value(source, variable.name))
    return merged


def _value(layer, name):
    """A weight by name; the kernel of a dense layer with its adapter."""
    if name == "kernel" and getattr(layer, "lora_enabled", False):
        return layer.kernel
    return next(v for v in itertools.chain(*own_weights(layer)) if v.name == name)


def _without_rank(config):
    """A configuration in which no layer has an adapter."""
    if isinstance(config, dict):
        gone = ("lora_rank", "lora_alpha")
        return {k: _without_rank(v) for k, v in config.items() if k not in gone}
    if isinstance(config, list | tuple):
        return type(config)(_without_rank(value) for value in config)
    return config
