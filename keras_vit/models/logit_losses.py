"""Losses and scores of probabilities, for models that give logits.

Keras' string "sparse_categorical_crossentropy" expects probabilities. On logits it
clips them to 0..1, its gradient is zero almost everywhere, and training stands still.
"""

import warnings

import keras

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
    raw = {n: is_raw(t) for n, t in zip(model.output_names, model.outputs, strict=True)}
    changed = []

    def walk(item, here):
        if isinstance(item, dict):
            return {n: walk(v, raw.get(n, here)) for n, v in item.items()}
        if isinstance(item, list | tuple):
            places = raw.values() if len(raw) == len(item) > 1 else [here] * len(item)
            return type(item)(map(walk, item, places))
        return _told(item, kind, model.name, changed) if here else item

    found = walk(wanted, all(raw.values()))
    if changed:
        warnings.warn(
            f"compile: {model.name!r} gives logits, and {', '.join(changed)} expects "
            "probabilities: taken with from_logits=True, or it would never learn. "
            "Say so yourself, or build the model with classifier_activation='softmax'.",
            stacklevel=3,
        )
    return found


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
    layer, node, index = tensor._keras_history
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        return is_raw(layer.outputs[index])
    sources = layer._inbound_nodes[node].input_tensors
    linear = getattr(layer, "activation", None) is keras.activations.linear
    if isinstance(layer, keras.layers.Dense):
        return linear
    if isinstance(layer, PASSING) or (
        isinstance(layer, keras.layers.Activation) and linear
    ):
        return is_raw(sources[0])
    return isinstance(layer, keras.layers.Average) and all(map(is_raw, sources))
