"""Head replacement: a trained model for other classes, or in another precision."""

import keras

from keras_vit.models.pretraining import PretrainingModel

HEADS = ("head", "head_dist")
KEPT = ("head", "head_dist", "mean_of_heads", "predictions")  # float32 as a rule


def has_head(model: keras.Model) -> bool:
    """Whether `adapt` can replace a model's head."""
    layers = getattr(model, "layers", None) or ()
    return bool({layer.name for layer in layers} & set(HEADS))


def adapt(
    model: keras.Model, classes: int | None = None, dtype: str | None = None
) -> keras.Model:
    """Rebuild a model with another head or precision; other weights are copied.

    Args:
        model: made by this package, with a head; or, for another precision alone, one
            that learns without labels.
        classes: K of a new head, which starts at zero; None keeps the head.
        dtype: policy of all layers but the head, such as "mixed_bfloat16"; None
            keeps it.

    Returns:
        Model of the same kind with the same preprocessing; labels are lost with the
        head.

    Raises:
        ValueError: when there is no head to exchange.

    Source:
        A head that starts at zero: arXiv:2010.11929, section 3.2.
    """
    config = model.get_config()
    if isinstance(model, PretrainingModel) and classes is None:
        adapted = type(model).from_config({**config, "dtype": dtype or config["dtype"]})
        adapted.set_weights(model.get_weights())
        return adapted
    layers = config.get("layers", ())
    if not {layer["name"] for layer in layers} & set(HEADS):
        raise ValueError(
            f"model: must end in a layer named 'head', got {model.name!r} without. "
            "Build it with include_top=True and the classes of your data."
        )
    if classes is not None:
        config.pop("trainable", None)  # of all layers at once; each one says its own
    for layer in layers:
        options = layer["config"]
        if classes is not None and layer["name"] in HEADS:
            options |= {"units": classes, "trainable": True}
        computes = "dtype" in options and layer["class_name"] != "InputLayer"
        if dtype is not None and computes and layer["name"] not in KEPT:
            options["dtype"] = dtype
            if "trunk" in options:  # the image GPT that is read
                options["trunk"]["config"]["dtype"] = dtype
    adapted = type(model).from_config(config)
    for old, new in zip(model.layers, adapted.layers, strict=True):
        if classes is None or old.name not in HEADS:
            new.set_weights(old.get_weights())
    if classes is not None:
        adapted.labels = None
    return adapted
