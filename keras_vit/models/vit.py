"""Vision Transformer: the functional model and its feature extractor.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit import words
from keras_vit.layers import (
    AttentionPooling,
    LayerNorm,
    MeanPooling,
    PatchEncoder,
    Patches,
    TokenPooling,
    TransformerBlock,
)
from keras_vit.layers.patches import pair
from keras_vit.models import conv_stem, hybrid
from keras_vit.models.architecture import Architecture
from keras_vit.models.head import activate, classifier, wide
from keras_vit.models.image_model import ImageModel
from keras_vit.signatures import with_fields_of
from keras_vit.words import check_names


@with_fields_of(Architecture)
def VisionTransformer(**options: Any) -> ImageModel:
    """Build a Vision Transformer with random weights.

    Layers are named `patches`, `patch_encoder`, `block_0` and so on, `norm`,
    `pool`, `pre_logits`, `head`; `model.get_layer` and `feature_extractor` use
    these names.

    Args:
        **options: the fields of `keras_vit.models.Architecture`, among them
            image_size, patch_size, width, depth, heads, mlp_dim, classes,
            pooling, position, registers, dropout, drop_path.

    Returns:
        `keras.Model`, (B, H, W, C) float -> (B, K) logits; without top
        (B, D), or (B, T, D) with pooling=None.

    Raises:
        ValueError: for options that do not go together.
        TypeError: for an option that does not exist.

    Source:
        arXiv:2010.11929, fig. 1 and eqs. (1) to (4). Initialisers of vit_jax.
    """
    fields = [field.name for field in dataclasses.fields(Architecture)]
    check_names("VisionTransformer", options, fields, words.MODELS)
    return build(Architecture(**options))


def build(arch: Architecture) -> ImageModel:
    """Build the model that an `Architecture` describes."""
    size = pair(arch.image_size, "image_size")
    images = keras.Input((*size, arch.channels), name="image")
    tokens = _encode(_embed(images, arch), arch)
    if not arch.norm_pooled:
        tokens = LayerNorm(arch.epsilon, dtype=arch.dtype, name="norm")(tokens)
    outputs = tokens if arch.pooling is None else _head(tokens, arch)
    model = ImageModel(images, outputs, name=arch.name)
    model.preprocessing = arch.preprocessing
    model.labels = None if arch.labels is None else list(arch.labels)
    return model


def _embed(images, arch):
    """Image -> tokens with positions, (B, T, D)."""
    if arch.stem is not None:
        images = hybrid.embed(images, arch.stem, arch.dtype)
    elif arch.conv_stem is not None:
        images = conv_stem.embed(images, arch.conv_stem, arch.dtype)
    patches = Patches(arch.patch_size, dtype=arch.dtype, name="patches")(images)
    tokens = PatchEncoder(
        arch.width,
        class_tokens=arch.class_tokens,
        registers=arch.registers,
        position=arch.position,
        position_prefix=arch.position_prefix,
        grid=arch.grid,
        use_bias=arch.patch_bias,
        dropout=arch.dropout,
        dtype=arch.dtype,
        name="patch_encoder",
    )(patches)
    if arch.norm_input:
        tokens = LayerNorm(arch.epsilon, dtype=arch.dtype, name="norm_input")(tokens)
    return tokens


def _encode(tokens, arch):
    """The stack of blocks, (B, T, D) -> (B, T, D)."""
    for index, rate in enumerate(np.linspace(0.0, arch.drop_path, arch.depth)):
        tokens = TransformerBlock(
            arch.heads,
            arch.mlp_dim,
            dropout=arch.dropout,
            attention_dropout=arch.attention_dropout,
            drop_path=float(rate),
            layer_scale=arch.layer_scale,
            activation=arch.activation,
            qkv_bias=arch.qkv_bias,
            qk_norm=arch.qk_norm,
            relative_position=arch.position == "relative",
            epsilon=arch.epsilon,
            dtype=arch.dtype,
            name=f"block_{index}",
        )(tokens)
    return tokens


def _pool(tokens, arch):
    """(B, T, D) -> (B, D)."""
    if arch.pooling == "token":
        return TokenPooling(dtype=arch.dtype, name="pool")(tokens)
    if arch.pooling == "gap":
        prefix = arch.class_tokens + arch.registers
        return MeanPooling(prefix, dtype=arch.dtype, name="pool")(tokens)
    return AttentionPooling(
        arch.heads,
        arch.mlp_dim,
        arch.activation,
        arch.epsilon,
        dtype=arch.dtype,
        name="pool",
    )(tokens)


def _head(tokens, arch):
    """Pooled features, and logits on top of them when asked for."""
    x = _pool(tokens, arch)
    if arch.norm_pooled:
        x = LayerNorm(arch.epsilon, dtype=arch.dtype, name="fc_norm")(x)
    if arch.representation_size is not None:
        x = keras.layers.Dense(
            arch.representation_size,
            activation="tanh",
            kernel_initializer=keras.initializers.LecunNormal(),
            dtype=arch.dtype,
            name="pre_logits",
        )(x)
    if not arch.include_top:
        return x
    logits = classifier(arch, "head")(x)
    if arch.distilled:
        second = TokenPooling(1, dtype=arch.dtype, name="pool_dist")(tokens)
        second = classifier(arch, "head_dist")(second)
        average = keras.layers.Average(dtype=wide(arch.dtype), name="mean_of_heads")
        logits = average([logits, second])
    return activate(logits, arch)


def feature_extractor(
    model: keras.Model, blocks: Sequence[int] = (-1,), layout: str = "tokens"
) -> keras.Model:
    """Make a model that returns the tokens after chosen blocks.

    Args:
        model: made by this package.
        blocks: indices of blocks, negative from the end.
        layout: "tokens" for (B, T, D) with all prefix tokens, or "grid" for
            (B, h, w, D), a feature map of the patches alone.

    Returns:
        `keras.Model` with one output per block (a list when there are
        several), sharing its weights with `model`.

    Raises:
        ValueError: for a block that does not exist, an unknown layout, or a
            model without blocks.
    """
    stack = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    if not stack:
        raise ValueError(f"model: has no TransformerBlock, got {model.name!r}.")
    if layout not in ("tokens", "grid"):
        raise ValueError(f"layout: must be 'tokens' or 'grid', got {layout!r}.")
    for index in blocks:
        if not -len(stack) <= index < len(stack):
            raise ValueError(
                f"blocks: the model has blocks 0 to {len(stack) - 1}, got {index}."
            )
    outputs = [stack[index].output for index in blocks]
    if layout == "grid":
        encoder = model.get_layer("patch_encoder")
        outputs = [_to_grid(tokens, encoder) for tokens in outputs]
    features = ImageModel(
        model.input, outputs[0] if len(outputs) == 1 else outputs, name="features"
    )
    features.preprocessing = model.preprocessing
    return features


def _to_grid(tokens, encoder):
    """(B, T, D) -> (B, h, w, D), without the prefix tokens."""
    patches = tokens[:, encoder.prefix_tokens :]
    return keras.layers.Reshape((*encoder.grid, encoder.width))(patches)
