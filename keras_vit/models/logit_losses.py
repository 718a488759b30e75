"""Losses and metrics of probabilities, set to logits where a model gives logits.

Keras' string "sparse_categorical_crossentropy" expects probabilities. On logits it
clips them to 0..1, its gradient is zero almost everywhere, and training stands still.
"""

import warnings

import keras

from keras_vit import private_keras

# Keras' loss function -> its class, which takes from_logits.
CLASSES = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
}
# Losses of probabilities without from_logits.
PROBABILITIES = ("KLDivergence", "kl_divergence", "CategoricalGeneralizedCrossEntropy")
PASSING = (keras.layers.Dropout, keras.layers.Identity)


def of_logits(model, wanted, module_name):
    """Set losses or metrics of `compile` to from_logits=True for a model of logits.

    Args:
        model: functional. wanted: a loss or scores: names, functions, objects, lists or
            dicts of them. module_name: "losses" or "metrics", as Keras calls them.

    Returns:
        The same, with every crossentropy of probabilities made one of logits.

    Raises:
        ValueError: for a loss that takes probabilities and nothing else.
    """
    converted, changed = _converted(model, wanted, module_name)
    if changed:
        warnings.warn(
            f"compile: {model.name!r} gives logits, and {', '.join(changed)} expects "
            "probabilities: taken with from_logits=True, or it would never learn. "
            "Say so yourself, or build the model with classifier_activation='softmax'.",
            stacklevel=3,
        )
    return converted


def warn_of_loss_around(inner):
    """Warn when an outer model treats our logits as probabilities.

    Keras compiles a model of the user's own without asking us; while it is called to
    train, Keras knows which model that is.

    Args:
        inner: our model, which is being called.
    """
    outer = private_keras.outermost(inner)
    loss = getattr(outer, "loss", None)
    if outer is inner or loss is None or not getattr(outer, "outputs", None):
        return
    try:
        changed = _converted(outer, loss, "losses")[1]
    except ValueError as err:
        changed = [str(err)]
    if changed:
        warnings.warn(
            f"{outer.name!r}, compiled around {inner.name!r}, gives logits, and its "
            f"loss {', '.join(changed)} expects probabilities: it will never learn. "
            "Compile it with keras.losses.SparseCategoricalCrossentropy("
            "from_logits=True) or the like, or end it in a softmax.",
            stacklevel=2,
        )


def _converted(model, wanted, module_name):
    """(losses as `of_logits` gives them, names of the changed ones)."""
    graph = private_keras.functional_of(model)  # of a Sequential
    pairs = zip(graph.output_names, graph.outputs, strict=True)
    raw, changed = {name: is_raw(tensor) for name, tensor in pairs}, []

    def walk(item, here):
        if isinstance(item, dict):
            return {n: walk(v, raw.get(n, here)) for n, v in item.items()}
        if isinstance(item, list | tuple):
            places = raw.values() if len(raw) == len(item) > 1 else [here] * len(item)
            return type(item)(map(walk, item, places))
        return _from_logits(item, module_name, model.name, changed) if here else item

    return walk(wanted, all(raw.values())), changed


def _from_logits(item, module_name, model, changed):
    """Set one loss or metric to from_logits=True; other values stay as they are."""
    module, loss = getattr(keras, module_name), item
    if isinstance(item, str):
        try:
            loss = module.get(item)
        except ValueError:
            return item
    function = getattr(loss, "__name__", None)
    name = item if isinstance(item, str) else function or type(loss).__name__
    if function in CLASSES:
        changed.append(repr(name))
        return getattr(module, CLASSES[function])(from_logits=True, name=function)
    if not type(loss).__module__.startswith("keras.") and function is None:
        return item
    if module_name == "losses" and (function or type(loss).__name__) in PROBABILITIES:
        raise ValueError(
            f"loss: {name} compares probabilities, got {model!r}, which gives logits. "
            "Build it with classifier_activation='softmax'."
        )
    if getattr(loss, "from_logits", None) is False:
        changed.append(repr(name))
        return type(loss).from_config({**loss.get_config(), "from_logits": True})
    return item


def is_raw(tensor):
    """Whether a tensor is the output of a dense layer without activation."""
    layer, sources, index = private_keras.origin_of(tensor)
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        return is_raw(layer.outputs[index])
    linear = getattr(layer, "activation", None) is keras.activations.linear
    if isinstance(layer, keras.layers.Dense):
        return linear
    if isinstance(layer, PASSING) or (
        isinstance(layer, keras.layers.Activation) and linear
    ):
        return is_raw(sources[0])
    return isinstance(layer, keras.layers.Average) and all(map(is_raw, sources))
