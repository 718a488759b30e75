"""What the scores of a model are: logits, or probabilities of one kind or another."""

ENDINGS = ("softmax", "sigmoid")


def ending(model):
    """What the scores of a model went through last.

    Args:
        model: `keras.Model` of any origin. Models inside of it are looked into; of a
            subclassed one, the layer made last is taken for the end.

    Returns:
        "softmax", "sigmoid", or "logits" for anything else.
    """
    last = model
    while True:
        inside = _last(last)
        if inside is None:
            break
        last = inside
    activation = getattr(last, "activation", None)
    activation = last if activation is None else activation
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    return name if name in ENDINGS else "logits"


def _last(model):
    """What gives the output of a model; None for what has nothing inside."""
    if getattr(model, "inputs", None) and getattr(model, "outputs", None):
        return model.outputs[0]._keras_history.operation
    layers = getattr(model, "layers", None)
    return layers[-1] if layers else None
