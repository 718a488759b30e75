"""The hyperparameters of a Vision Transformer, in one checked record."""

import dataclasses

import keras

from keras_vit.choices import check_choice, whole
from keras_vit.layers.mlp import get_activation
from keras_vit.layers.patches import pair, patch_grid
from keras_vit.layers.pooling import POOLINGS
from keras_vit.layers.position import POSITIONS
from keras_vit.models import conv_stem, hybrid
from keras_vit.preprocess import Preprocessing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """Hyperparameters of `VisionTransformer`.

    Args:
        image_size: side in px, or (H, W).
        patch_size: side in px, or (rows, columns); must divide the image.
        width: D, channels per token.
        depth: number of blocks.
        heads: attention heads; must divide the width.
        mlp_dim: hidden units of each MLP.
        classes: K, units of the head.
        channels: colour channels of the images.
        include_top: whether the model ends in logits; else in features.
        pooling: "token" (class token), "gap" (mean of the patch tokens), "map"
            (attention pooling), or None for all tokens (without top only).
        class_token: whether there is one; None means when the pooling reads it.
        position: "learned", "learned2d", "sincos2d", "relative" or "none".
        position_prefix: whether class token and registers have positions
            (vit_jax: yes; big_vision and DeiT-III: no).
        registers: number of extra tokens, arXiv:2309.16588.
        representation_size: units of a tanh layer before the head, or None.
        layer_scale: first value of LayerScale, or None for no LayerScale.
        qkv_bias: whether the query, key and value projections have a bias.
        qk_norm: whether queries and keys are normalised per head.
        activation: "gelu" (erf: timm, DeiT, MAE, Hugging Face) or "gelu_tanh"
            (Google).
        epsilon: of every norm; 1e-6 everywhere but Hugging Face's 1e-12.
        patch_bias: whether the patch projection has a bias.
        norm_input: whether a norm stands before the first block (CLIP).
        norm_pooled: whether the last norm comes after the pooling (timm's
            fc_norm, MAE fine-tuning).
        stem: units per stage of a ResNet in front, such as (3, 4, 9), () for
            its root alone, or None for none; patches are then cut from its
            features, and patch_size counts features. Or a functional Keras model
            of yours that makes a feature map (B, h, w, F) of an image, trained or
            not; pass its preprocessing too.
        conv_stem: channels of 3x3 convolutions in front, such as (48, 96, 192, 384),
            or None for none; a convolution halves the image where the channels
            change. Patches are cut from the features: use patch_size=1.
        distilled: whether a distillation token and a second head exist (DeiT);
            the logits are then the mean of both heads.
        dropout: probability after each dense layer but qkv, and after positions.
        attention_dropout: probability on the attention weights.
        drop_path: probability in the last block, growing linearly from 0.
        head_bias: first value of the head's bias; -10 or -6.9 go with a
            sigmoid loss.
        classifier_activation: None for logits, or "softmax" and the like.
        preprocessing: `keras_vit.Preprocessing` to carry along; None means
            Google's range, bilinear, this image size.
        labels: K class names to carry along, or None.
        dtype: policy of all layers; the head stays float32 under 16 bits.
        name: of the model.

    Raises:
        ValueError: for values that do not go together.
    """

    image_size: int | tuple = 224
    patch_size: int | tuple = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    classes: int = 1000
    channels: int = 3
    include_top: bool = True
    pooling: str | None = "token"
    class_token: bool | None = None
    position: str = "learned"
    position_prefix: bool = True
    registers: int = 0
    representation_size: int | None = None
    layer_scale: float | None = None
    qkv_bias: bool = True
    qk_norm: bool = False
    activation: str = "gelu"
    epsilon: float = 1e-6
    patch_bias: bool = True
    norm_input: bool = False
    norm_pooled: bool = False
    stem: tuple | keras.Model | None = None
    conv_stem: tuple | None = None
    distilled: bool = False
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    head_bias: float = 0.0
    classifier_activation: str | None = None
    preprocessing: Preprocessing | None = None
    labels: list | None = None
    dtype: str | None = None
    name: str = "vit"

    def __post_init__(self):
        put = object.__setattr__
        put(self, "image_size", pair(self.image_size, "image_size"))
        put(self, "patch_size", pair(self.patch_size, "patch_size"))
        for name in ("stem", "conv_stem"):
            value = getattr(self, name)
            if value is not None and not hybrid.is_model(value):
                put(self, name, tuple(value))
        if self.class_token is None:
            put(self, "class_token", self.pooling in ("token", None))
        self._check_counts()
        self._check_choices()
        self._check_wiring()
        _ = self.grid
        if self.preprocessing is None:
            own = getattr(self.stem, "preprocessing", None) or Preprocessing()
            put(self, "preprocessing", own.resized(self.image_size))
        elif self.preprocessing.image_size != self.image_size:
            put(self, "preprocessing", self.preprocessing.resized(self.image_size))

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w), patches."""
        front = self.conv_stem if self.stem is None else self.stem
        if front is None:
            return patch_grid(self.image_size, self.patch_size)
        if self.conv_stem is not None:
            features = conv_stem.feature_size(self.image_size, self.conv_stem)
        else:
            features = hybrid.feature_size(self.image_size, self.stem, self.channels)
        height, width = pair(self.patch_size, "patch_size")
        if features[0] % height or features[1] % width:
            remedy = "patch_size=1"
            if not hybrid.is_model(self.stem):
                kind = hybrid if self.conv_stem is None else conv_stem
                step = kind.shrink(front) * height
                remedy = f"multiples of {step} px"
            raise ValueError(
                f"image_size: a hybrid's features must make whole patches, got "
                f"image_size={self.image_size}, {features[0]}x{features[1]} features. "
                f"Use {remedy}."
            )
        return patch_grid(features, self.patch_size)

    @property
    def class_tokens(self) -> int:
        """Number of tokens that heads read."""
        return int(bool(self.class_token)) + int(self.distilled)

    def _check_counts(self):
        for name in ("width", "depth", "heads", "mlp_dim", "classes", "channels"):
            value = whole(getattr(self, name))
            object.__setattr__(self, name, value)
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"{name}: must be a whole number above 0, got {value!r}."
                )
        if self.width % self.heads:
            raise ValueError(
                f"heads: must divide the width, got width={self.width}, heads="
                f"{self.heads}. Use heads={max(1, self.width // 64)}, for example."
            )
        units = () if hybrid.is_model(self.stem) else self.stem or ()
        if not all(type(count) is int and 0 < count < 1000 for count in units):
            raise ValueError(
                f"stem: must be units per stage, each above 0, got {self.stem!r}. "
                "Use (3, 4, 9), for example."
            )
        if self.conv_stem is not None and not (
            self.conv_stem and all(type(c) is int and c > 0 for c in self.conv_stem)
        ):
            raise ValueError(
                "conv_stem: must be channels per convolution, each above 0, got "
                f"{self.conv_stem!r}. Use (48, 96, 192, 384), for example."
            )
        for name in ("dropout", "attention_dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name}: must be a probability, at least 0 and below 1, got "
                    f"{getattr(self, name)!r}."
                )

    def _check_choices(self):
        get_activation(self.activation)
        check_choice("pooling", self.pooling, (*POOLINGS, None))
        check_choice("position", self.position, POSITIONS)

    def _check_wiring(self):
        if self.stem is not None and self.conv_stem is not None:
            raise ValueError(
                f"conv_stem: stands in place of a ResNet, got stem={self.stem} and "
                f"conv_stem={self.conv_stem}. Leave one out."
            )
        if self.pooling == "token" and not self.class_token:
            raise ValueError(
                "pooling: 'token' reads the class token, got class_token=False. "
                "Use pooling='gap' or 'map'."
            )
        if self.pooling is None and self.include_top:
            raise ValueError(
                "pooling: a head needs one vector per image, got pooling=None. "
                "Use include_top=False for all tokens."
            )
        if self.distilled and self.pooling != "token":
            raise ValueError(
                "distilled: the two heads read two tokens, got pooling="
                f"{self.pooling!r}. "
                "Use pooling='token'."
            )
        if self.labels is not None and len(self.labels) != self.classes:
            raise ValueError(
                f"labels: must name {self.classes} classes, got "
                f"{len(self.labels)} names."
            )
