"""Big Transfer: ResNet-v2 with group norm and weight standardisation.

Kolesnikov et al. 2019, "Big Transfer (BiT)", arXiv:1912.11370: the convolutional
network that the ViT paper measures itself against. Constants of big_transfer.
"""

import dataclasses
from typing import Any

import keras

from keras_vit import words
from keras_vit.choices import whole
from keras_vit.layers.conv import GroupNorm, PreactivationUnit, StdConv
from keras_vit.layers.patches import pair
from keras_vit.models.head import activate, classifier
from keras_vit.models.image_model import ImageModel
from keras_vit.preprocess import Preprocessing
from keras_vit.signatures import with_fields_of
from keras_vit.words import check_names

WIDTH = 64  # channels of the root at width factor 1
NORM_EPSILON = 1e-5
POOLINGS = ("gap", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BiTArchitecture:
    """Hyperparameters of `BigTransfer`.

    Args:
        image_size: side in px, or (H, W); (None, None) takes images of any size.
        units: residual units per stage, such as (3, 4, 6, 3).
        width_factor: multiple of the ResNet's channels.
        filters: channels in the middle of the units, per stage; None means
            64 * width_factor, doubled at every stage.
        classes: K, units of the head.
        channels: colour channels of the images.
        include_top: whether the model ends in logits; else in features.
        pooling: "gap" (mean over the image), or None for the feature map (without
            top only).
        epsilon: of the standardisation, under the root; 1e-10, timm's is 1e-8.
        head_bias: first value of the head's bias.
        classifier_activation: None for logits, or "softmax" and the like.
        preprocessing: `keras_vit.Preprocessing` to carry along; None means
            Google's range, bilinear, this image size or 224 px.
        labels: K class names to carry along, or None.
        dtype: policy of all layers; the head stays float32 under 16 bits.
        name: of the model.

    Raises:
        ValueError: for values that do not go together.
    """

    image_size: int | tuple = 224
    units: tuple = (3, 4, 6, 3)
    width_factor: int = 1
    filters: tuple | None = None
    classes: int = 1000
    channels: int = 3
    include_top: bool = True
    pooling: str | None = "gap"
    epsilon: float = 1e-10
    head_bias: float = 0.0
    classifier_activation: str | None = None
    preprocessing: Preprocessing | None = None
    labels: list | None = None
    dtype: str | None = None
    name: str = "bit"

    def __post_init__(self):
        put = object.__setattr__
        size = self.image_size
        open_ = isinstance(size, (tuple, list)) and tuple(size) == (None, None)
        put(self, "image_size", tuple(size) if open_ else pair(size, "image_size"))
        put(self, "units", tuple(self.units))
        self._check_counts()
        self._check_choices()
        default = (WIDTH * self.width_factor * 2**i for i in range(len(self.units)))
        put(self, "filters", tuple(default if self.filters is None else self.filters))
        if len(self.filters) != len(self.units) or any(n % 32 for n in self.filters):
            raise ValueError(
                f"filters: must be a multiple of 32 for each of {len(self.units)} "
                f"stages, got {self.filters!r}. Leave it out for those of BiT."
            )
        size = (224, 224) if open_ else self.image_size
        if self.preprocessing is None:
            put(self, "preprocessing", Preprocessing(image_size=size, antialias=False))
        elif not open_ and self.preprocessing.image_size != size:
            put(self, "preprocessing", self.preprocessing.resized(size))

    def _check_counts(self):
        for name in ("width_factor", "classes", "channels"):
            value = whole(getattr(self, name))
            object.__setattr__(self, name, value)
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"{name}: must be a whole number above 0, got {value!r}."
                )
        counts = [type(n) is int and 0 < n < 1000 for n in self.units]
        if not counts or not all(counts):
            raise ValueError(
                f"units: must be units per stage, each above 0, got {self.units!r}. "
                "Use (3, 4, 6, 3), for example."
            )

    def _check_choices(self):
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling: must be 'gap' or None, got {self.pooling!r}. A ResNet has "
                "no class token."
            )
        if self.pooling is None and self.include_top:
            raise ValueError(
                "pooling: a head needs one vector per image, got pooling=None. "
                "Use include_top=False for the feature map."
            )
        if self.labels is not None and len(self.labels) != self.classes:
            raise ValueError(
                f"labels: must name {self.classes} classes, got "
                f"{len(self.labels)} names."
            )


@with_fields_of(BiTArchitecture)
def BigTransfer(**options: Any) -> ImageModel:
    """Build a Big Transfer ResNet with random weights.

    Layers are named `root`, `stage1_unit1` and so on, `norm`, `pool`, `head`.

    Args:
        **options: the fields of `keras_vit.models.BiTArchitecture`, among them
            image_size, units, width_factor, classes, include_top, pooling.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits; without top (B, F), or
        (B, h, w, F) with pooling=None. F is 4 times the last of `filters`.

    Raises:
        ValueError: for options that do not go together.
        TypeError: for an option that does not exist.

    Source:
        arXiv:1912.11370, section 3; wiring and constants of big_transfer.
    """
    fields = [field.name for field in dataclasses.fields(BiTArchitecture)]
    check_names("BigTransfer", options, fields, words.MODELS)
    return build(BiTArchitecture(**options))


def build(arch):
    """Build the model that a `BiTArchitecture` describes."""
    images = keras.Input((*arch.image_size, arch.channels), name="image")
    x = _stages(_root(images, arch), arch)
    x = GroupNorm(NORM_EPSILON, dtype=arch.dtype, name="norm")(x)
    x = keras.layers.Activation("relu", dtype=arch.dtype, name="relu")(x)
    if arch.pooling is not None:
        x = keras.layers.GlobalAveragePooling2D(dtype=arch.dtype, name="pool")(x)
    if arch.include_top:
        x = activate(classifier(arch, "head")(x), arch)
    model = ImageModel(images, x, name=arch.name)
    model.preprocessing = arch.preprocessing
    model.labels = None if arch.labels is None else list(arch.labels)
    return model


def _root(images, arch):
    """Stem: features at a quarter of the image size, before norm and ReLU."""
    conv = StdConv(
        WIDTH * arch.width_factor,
        7,
        2,
        epsilon=arch.epsilon,
        inside=True,
        padding="symmetric",
        dtype=arch.dtype,
        name="root",
    )
    # Zeros, not minus infinity: they win over negative features at the borders.
    pad = keras.layers.ZeroPadding2D(
        1, data_format="channels_last", dtype=arch.dtype, name="root_pad"
    )
    pool = keras.layers.MaxPooling2D(
        3, 2, data_format="channels_last", dtype=arch.dtype, name="root_pool"
    )
    return pool(pad(conv(images)))


def _stages(x, arch):
    """All residual units; every stage but the first halves the resolution."""
    for stage, (units, filters) in enumerate(
        zip(arch.units, arch.filters, strict=True)
    ):
        for unit in range(units):
            x = PreactivationUnit(
                filters,
                strides=2 if stage and not unit else 1,
                epsilon=arch.epsilon,
                norm_epsilon=NORM_EPSILON,
                dtype=arch.dtype,
                name=f"stage{stage + 1}_unit{unit + 1}",
            )(x)
    return x
