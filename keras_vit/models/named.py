"""One function per published model, in the manner of keras.applications."""

import os

from keras_vit import variants
from keras_vit.models.vit import VisionTransformer

_DOC = """Build {name}: {family} of size {size} with {patch} px patches.

    Args:
        weights: None for random weights, or the path of a `.weights.h5` file
            that `model.save_weights` wrote.
        include_top: whether the model ends in logits; else in features.
        input_shape: (H, W, C) px; H and W multiples of {patch}.
        classes: K, units of the head.
        classifier_activation: None for logits, or "softmax".
        name: of the model.
        **options: any other field of `keras_vit.models.Architecture`, such as
            pooling, position, registers, dropout, drop_path, dtype.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for weights that do not exist or options that do not fit.

    Source:
        {source}.
    """


def create(
    variant,
    /,
    weights=None,
    include_top=True,
    input_shape=(224, 224, 3),
    classes=1000,
    classifier_activation=None,
    **options,
):
    """Build a model by its name.

    Args:
        variant: like "ViT-B/16", "B/16", "ViT_B16", "DeiT-Ti/16"; see
            `list_models`.
        weights, include_top, input_shape, classes, classifier_activation: as
            in `ViT_B16`.
        **options: any other field of `keras_vit.models.Architecture`.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for an unknown name, with the nearest spelling.
    """
    variant = variants.parse(variant)
    weights = _check_weights(weights)
    height, width, channels = _check_shape(input_shape or (224, 224, 3))
    size = variants.SIZES[variant.size]
    if variant.family == "DeiT":
        options = {"distilled": True, **options}
    options.setdefault("name", f"{variant.family}_{variant.size}{variant.patch_size}")
    model = VisionTransformer(
        image_size=(height, width),
        channels=channels,
        patch_size=variant.patch_size,
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        mlp_dim=size.mlp,
        classes=classes,
        include_top=include_top,
        classifier_activation=classifier_activation,
        **options,
    )
    if weights is not None:
        model.load_weights(weights)
    return model


def _check_shape(shape):
    if len(shape) != 3 or not all(isinstance(side, int) for side in shape):
        raise ValueError(
            f"input_shape: must be (H, W, C) with fixed sizes, got {shape!r}. "
            "Use (224, 224, 3), for example."
        )
    return shape


def _check_weights(weights):
    """Accept None or an existing file; anything else is refused before building."""
    if weights is None or os.path.isfile(weights):
        return weights
    raise ValueError(
        f"weights: must be None or the path of an existing file, got {weights!r}. "
        "Use weights=None and model.load_weights for files of another kind."
    )


def _named(function, family, size, patch):
    def model(
        weights=None,
        include_top=True,
        input_shape=(224, 224, 3),
        classes=1000,
        classifier_activation=None,
        name=function,
        **options,
    ):
        return create(
            f"{family}-{size}/{patch}",
            weights=weights,
            include_top=include_top,
            input_shape=input_shape,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            **options,
        )

    model.__name__ = model.__qualname__ = function
    model.__doc__ = _DOC.format(
        name=function,
        family="distilled DeiT" if family == "DeiT" else family,
        size=size,
        patch=patch,
        source=variants.SIZES[size].source,
    )
    return model


FUNCTIONS = {
    function: _named(function, family, size, patch)
    for family, table in (("ViT", variants.VIT), ("DeiT", variants.DEIT))
    for function, (size, patch) in table.items()
}
globals().update(FUNCTIONS)
