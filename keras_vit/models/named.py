"""One function per published model, in the manner of keras.applications."""

import os

from keras_vit import variants
from keras_vit.models.vit import VisionTransformer

_DOC = """Build {name}: {family} of size {size} with {patch} px patches.

    Args:
        weights: None for random weights; a name of `list_checkpoints`, such as
            "augreg_in21k_ft_in1k"; "hf://OWNER/NAME"; or the path of any file
            that `from_checkpoint` or `model.load_weights` reads.
        include_top: whether the model ends in logits; else in features.
        input_shape: (H, W, C) px; H and W multiples of {patch}. None means
            (224, 224, 3), or that of the weights.
        classes: K, units of the head. None means 1000, or that of the weights;
            another number than theirs gives a new head.
        classifier_activation: None for logits, or "softmax".
        name: of the model.
        **options: any other field of `keras_vit.models.Architecture`, such as
            pooling, position, registers, dropout, drop_path, dtype.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for weights that do not exist or belong to another variant,
            or options that do not fit.

    Source:
        {source}.
    """


def create(
    variant,
    /,
    weights=None,
    include_top=True,
    input_shape=None,
    classes=None,
    classifier_activation=None,
    **options,
):
    """Build a model by its name.

    Args:
        variant: like "ViT-B/16", "B/16", "ViT_B16", "DeiT-Ti/16", "R50+B/16";
            see `list_models`.
        weights, include_top, input_shape, classes, classifier_activation: as
            in `ViT_B16`.
        **options: any other field of `keras_vit.models.Architecture`.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for an unknown name, with the nearest spelling.
    """
    variant = variants.parse(variant)
    shape = None if input_shape is None else _check_shape(input_shape)
    options.setdefault("name", _function(variant))
    options["classifier_activation"] = classifier_activation
    options["include_top"] = include_top
    if weights is not None and not str(weights).endswith((".weights.h5", ".keras")):
        return _load(variant, weights, shape, classes, options)
    height, width, channels = shape or (224, 224, 3)
    file = None if weights is None else _check_file(weights)
    if variant.family == "DeiT":
        options = {"distilled": True, **options}
    model = VisionTransformer(
        image_size=(height, width),
        channels=channels,
        classes=1000 if classes is None else classes,
        **{**_numbers(variant), **options},
    )
    if file is not None:
        model.load_weights(file)
    return model


def _function(variant):
    """Name of the function that builds a variant, such as "ViT_B16"."""
    return f"{variant.family}_{variant.size}{variant.patch_size}"


def _numbers(variant):
    """The fields of `Architecture` that a variant fixes."""
    size = variants.SIZES[variant.size]
    return {
        "patch_size": variant.patch,
        "width": size.width,
        "depth": size.depth,
        "heads": size.heads,
        "mlp_dim": size.mlp,
        "stem": variant.stem,
    }


def _load(variant, weights, shape, classes, options):
    """The variant with published weights; another variant in the file is an error."""
    from keras_vit.weights import from_variant

    if shape is not None:
        options["image_size"] = shape[:2]
    numbers = {**_numbers(variant), "distilled": variant.family == "DeiT"}
    name = f"{variant.family}-{variant.size}/{variant.patch_size}"
    function = _function(variant)
    return from_variant(weights, name, numbers, function, classes, **options)


def _check_shape(shape):
    if len(shape) != 3 or not all(isinstance(side, int) for side in shape):
        raise ValueError(
            f"input_shape: must be (H, W, C) with fixed sizes, got {shape!r}. "
            "Use (224, 224, 3), for example."
        )
    return shape


def _check_file(weights):
    """Refuse a file that is not there before building."""
    if os.path.isfile(weights):
        return weights
    raise ValueError(
        f"weights: must be None or the path of an existing file, got {weights!r}. "
        "Use weights=None, or a name of keras_vit.list_checkpoints()."
    )


def _named(function, family, size, patch):
    plus = "+" if family in ("R", "R26", "R50") else "-"
    variant = f"{family}{plus}{size}/{patch}"

    def model(
        weights=None,
        include_top=True,
        input_shape=None,
        classes=None,
        classifier_activation=None,
        name=function,
        **options,
    ):
        return create(
            variant,
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
        family={"DeiT": "distilled DeiT", "ViT": "ViT"}.get(family, f"{family} hybrid"),
        size=size,
        patch=patch,
        source=variants.SIZES[size].source,
    )
    return model


ROWS = {
    **{name: ("ViT", *row) for name, row in variants.VIT.items()},
    **{name: ("DeiT", *row) for name, row in variants.DEIT.items()},
    **{name: row[:3] for name, row in variants.HYBRIDS.items()},
}
FUNCTIONS = {function: _named(function, *row) for function, row in ROWS.items()}
globals().update(FUNCTIONS)
