"""Losses and scores of probabilities, for models that give logits.

Keras' string "sparse_categorical_crossentropy" expects probabilities. On logits it
clips them to 0..1, its gradient is zero almost everywhere, and training stands still.
"""

import warnings

import keras

from keras_vit import private_keras

# Function of Keras -> its class, which can be told that it gets logits.
CLASSES = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
}
# These take probabilities and nothing else.
PROBABILITIES = ("KLDivergence", "kl_divergence", "CategoricalGeneralizedCrossEntropy")
PASSING = (keras.layers.Dropout, keras.layers.Identity)


def of_logits(model, wanted, kind):
    """What `compile` was asked for, told that it gets logits where it does.

    Args:
        model: functional. wanted: a loss or scores: names, functions, objects, lists or
            dicts of them. kind: "losses" or "metrics", as Keras calls them.

    Returns:
        The same, with every crossentropy of probabilities made one of logits.

    Raises:
        ValueError: for a loss that takes probabilities and nothing else.
    """
    found, changed = _walked(model, wanted, kind)
    if changed:
        warnings.warn(
            f"compile: {model.name!r} gives logits, and {', '.join(changed)} expects "
            "probabilities: taken with from_logits=True, or it would never learn. "
            "Say so yourself, or build the model with classifier_activation='softmax'.",
            stacklevel=3,
        )
    return found


def warn_of_loss_around(inner):
    """Warn when a model that calls ours is trained on logits as probabilities.

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
        changed = _walked(outer, loss, "losses")[1]
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


def _walked(model, wanted, kind):
    """(what `of_logits` gives, names of what had to be told)."""
    graph = private_keras.functional_of(model)  # of a Sequential
    pairs = zip(graph.output_names, graph.outputs, strict=True)
    raw, changed = {name: is_raw(tensor) for name, tensor in pairs}, []

    def walk(item, here):
        if isinstance(item, dict):
            return {n: walk(v, raw.get(n, here)) for n, v in item.items()}
        if isinstance(item, list | tuple):
            places = raw.values() if len(raw) == len(item) > 1 else [here] * len(item)
            return type(item)(map(walk, item, places))
        return _told(item, kind, model.name, changed) if here else item

    return walk(wanted, all(raw.values())), changed


def _told(item, kind, model, changed):
    """One loss or score, told that it gets logits; anything else as it is."""
    module, found = getattr(keras, kind), item
    if isinstance(item, str):
        try:
            found = module.get(item)
        except ValueError:
            return item
    function = getattr(found, "__name__", None)
    name = item if isinstance(item, str) else function or type(found).__name__
    if function in CLASSES:
        changed.append(repr(name))
        return getattr(module, CLASSES[function])(from_logits=True, name=function)
    if not type(found).__module__.startswith("keras.") and function is None:
        return item
    if kind == "losses" and (function or type(found).__name__) in PROBABILITIES:
        raise ValueError(
            f"loss: {name} compares probabilities, got {model!r}, which gives logits. "
            "Build it with classifier_activation='softmax'."
        )
    if getattr(found, "from_logits", None) is False:
        changed.append(repr(name))
        return type(found).from_config({**found.get_config(), "from_logits": True})
    return item


def is_raw(tensor):
    """Whether a dense layer without an activation made a symbolic tensor."""
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
