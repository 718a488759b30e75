"""One function per published model, in the manner of keras.applications."""

import dataclasses
import numbers
import os
from typing import Any, Protocol, cast

from keras_vit import variants, words
from keras_vit.models.architecture import Architecture
from keras_vit.models.bit import BigTransfer, BiTArchitecture
from keras_vit.models.image_model import ImageModel
from keras_vit.models.vit import VisionTransformer
from keras_vit.types import FilePath, Shape
from keras_vit.weights import places
from keras_vit.words import check_names

# Other names of input_shape.
SHAPES = {"image_size", "img_size", "input_size", "image_shape", "resolution", "size"}

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

_BIT_DOC = """Build {name}: Big Transfer's {resnet}, {factor} times as wide.

    Args:
        weights: None for random weights; a name of `list_checkpoints`, such as
            "goog_in21k_ft_in1k"; or the path of any file that `from_checkpoint` or
            `model.load_weights` reads.
        include_top: whether the model ends in logits; else in features.
        input_shape: (H, W, C) px; H and W may be None for images of any size. None
            means (224, 224, 3), or that of the weights.
        classes: K, units of the head. None means 1000, or that of the weights;
            another number than theirs gives a new head.
        classifier_activation: None for logits, or "softmax".
        name: of the model.
        **options: any other field of `keras_vit.models.BiTArchitecture`, such as
            pooling, labels, dtype.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for weights that do not exist or belong to another variant,
            or options that do not fit.

    Source:
        arXiv:1912.11370, section 3.2; big_transfer.
    """


def create(
    variant: str,
    /,
    weights: FilePath | None = None,
    include_top: bool = True,
    input_shape: Shape | None = None,
    classes: int | None = None,
    classifier_activation: str | None = None,
    **options: Any,
) -> ImageModel:
    """Build a model by its name.

    Args:
        variant: like "ViT-B/16", "B/16", "ViT_B16", "DeiT-Ti/16", "R50+B/16",
            "BiT-R50x1"; see `list_models`.
        weights, include_top, input_shape, classes, classifier_activation: as
            in `ViT_B16` and `BiT_R50x1`.
        **options: any other field of `keras_vit.models.Architecture`, or of
            `BiTArchitecture`.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits.

    Raises:
        ValueError: for an unknown name, with the nearest spelling.
    """
    variant = variants.parse(variant)
    open_ = variant.family == "BiT"  # a ResNet takes images of any size
    _check_options(variant, options, BiTArchitecture if open_ else Architecture)
    weights = None if weights is None else places.find(_check_weights(weights))
    shape = None if input_shape is None else _check_shape(input_shape, open_)
    options.setdefault("name", variant.function)
    options["classifier_activation"] = classifier_activation
    options["include_top"] = include_top
    if weights is not None and not str(weights).endswith((".weights.h5", ".keras")):
        return _load(variant, weights, shape, classes, options)
    height, width, channels = shape or (224, 224, 3)
    file = None if weights is None else _check_file(weights)
    build = BigTransfer if open_ else VisionTransformer
    model = build(
        image_size=(height, width),
        channels=channels,
        classes=1000 if classes is None else classes,
        **{**_numbers(variant), **options},
    )
    if file is not None:
        model.load_weights(file)
    return model


def _numbers(variant):
    """The fields of `Architecture`, or `BiTArchitecture`, that a variant fixes."""
    if variant.family == "BiT":
        keys = ("units", "width_factor", "filters")
        return {key: getattr(variant, key) for key in keys}
    size = variants.SIZES[variant.size]
    return {
        "patch_size": variant.patch,
        "width": size.width,
        "depth": size.depth,
        "heads": size.heads,
        "mlp_dim": size.mlp,
        "stem": variant.stem,
        "distilled": variant.family == "DeiT",
    }


def _load(variant, weights, shape, classes, options):
    """The variant with published weights; another variant in the file is an error."""
    from keras_vit.weights import from_variant

    if shape is not None:
        options |= {"image_size": shape[:2], "channels": shape[2]}
    numbers = _numbers(variant)
    return from_variant(
        weights, variant.name, numbers, variant.function, classes, **options
    )


def _check_options(variant, options, record):
    """Refuse what is no option, or is said by input_shape."""
    said = {"image_size", "channels"}
    fields = [f.name for f in dataclasses.fields(record) if f.name not in said]
    known = [*fields, "weights", "input_shape", "classes"]
    names = {**words.MODELS, **dict.fromkeys(SHAPES, "input_shape")}
    given = {**options}
    for name in SHAPES & options.keys():
        given[name] = _shape(options[name]) or options[name]
    check_names(variant.function, given, known, names)


def _check_weights(weights):
    """Weights are named by a text or a path."""
    if isinstance(weights, str | os.PathLike):
        return weights
    raise TypeError(
        f"weights: must be None, a name of keras_vit.list_checkpoints() or a file, got "
        f"{weights!r}. Use weights='augreg_in21k_ft_in1k', or classes= for a number."
    )


def _shape(size):
    """(H, W, C) that a side, a pair or a shape of the kind (C, H, W) means, or None."""
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if not all(isinstance(side, int) for side in sides):
        return None
    if len(sides) == 2:
        return (*sides, 3)
    first = len(sides) == 3 and sides[0] <= 4 < min(sides[1:])
    return (*sides[1:], sides[0]) if first else None


def _check_shape(shape, open_):
    sides = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    fixed = all(isinstance(side, numbers.Integral) for side in sides)
    free = open_ and sides[:2] == (None, None) and isinstance(sides[-1], int)
    meant = _shape(shape)
    first = len(sides) == 3 and meant is not None
    if len(sides) != 3 or first or not (fixed or free):
        where = ", colour channels last" if first else " with fixed sizes"
        raise ValueError(
            f"input_shape: must be (H, W, C) px{where}, got {shape!r}. "
            f"Use input_shape={meant or (224, 224, 3)}."
        )
    return tuple(side if side is None else int(side) for side in sides)


def _check_file(weights):
    """Refuse a file that is not there before building."""
    if os.path.isfile(weights):
        return weights
    raise ValueError(
        f"weights: must be None or the path of an existing file, got {weights!r}. "
        "Use weights=None, or a name of keras_vit.list_checkpoints()."
    )


class NamedModel(Protocol):
    """What every named model is to editors and type checkers.

    Each gives its own sizes and its own name; `help` has the whole page of each.
    """

    __name__: str
    __doc__: str

    def __call__(
        self,
        weights: FilePath | None = None,
        include_top: bool = True,
        input_shape: Shape | None = None,
        classes: int | None = None,
        classifier_activation: str | None = None,
        name: str = ...,
        **options: Any,
    ) -> ImageModel:
        """Build the model; see `create`."""


def _named(function: str) -> NamedModel:
    """The public function of a row, which calls `create`."""

    def model(
        weights: FilePath | None = None,
        include_top: bool = True,
        input_shape: Shape | None = None,
        classes: int | None = None,
        classifier_activation: str | None = None,
        name: str = function,
        **options: Any,
    ) -> ImageModel:
        return create(
            function,
            weights=weights,
            include_top=include_top,
            input_shape=input_shape,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            **options,
        )

    model.__name__ = model.__qualname__ = function
    model.__doc__ = _doc(function)
    return cast(NamedModel, model)


def _doc(function: str) -> str:
    variant = variants.parse(function)
    if variant.family == "BiT":
        facts = {"resnet": variant.resnet, "factor": variant.width_factor}
        return _BIT_DOC.format(name=function, **facts)
    families = {"DeiT": "distilled DeiT", "ViT": "ViT"}
    return _DOC.format(
        name=function,
        family=families.get(variant.family, f"{variant.family} hybrid"),
        size=variant.size,
        patch=variant.patch_size,
        source=variants.SIZES[variant.size].source,
    )


# Written out, so that editors and type checkers see them: one for each row of
# `variants.FUNCTIONS`, which a test compares.
ViT_Ti16 = _named("ViT_Ti16")
ViT_S8 = _named("ViT_S8")
ViT_S16 = _named("ViT_S16")
ViT_S32 = _named("ViT_S32")
ViT_B8 = _named("ViT_B8")
ViT_B16 = _named("ViT_B16")
ViT_B32 = _named("ViT_B32")
ViT_L16 = _named("ViT_L16")
ViT_L32 = _named("ViT_L32")
ViT_H14 = _named("ViT_H14")
ViT_g14 = _named("ViT_g14")
ViT_G14 = _named("ViT_G14")
DeiT_Ti16 = _named("DeiT_Ti16")
DeiT_S16 = _named("DeiT_S16")
DeiT_B16 = _named("DeiT_B16")
R_Ti16 = _named("R_Ti16")
R26_S32 = _named("R26_S32")
R26_B32 = _named("R26_B32")
R50_B16 = _named("R50_B16")
R50_L32 = _named("R50_L32")
BiT_R50x1 = _named("BiT_R50x1")
BiT_R50x3 = _named("BiT_R50x3")
BiT_R101x1 = _named("BiT_R101x1")
BiT_R101x3 = _named("BiT_R101x3")
BiT_R152x2 = _named("BiT_R152x2")
BiT_R152x4 = _named("BiT_R152x4")
