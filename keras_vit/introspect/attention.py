"""Who looks at whom: attention maps of an ordinary, already trained model."""

import keras
import numpy as np
from keras import ops

from keras_vit.layers import (
    AttentionPooling,
    MeanPooling,
    TokenPooling,
    TransformerBlock,
)

POOLS = (AttentionPooling, MeanPooling, TokenPooling)


def attention_maps(model, images):
    """Attention weights of every block.

    Args:
        model: made by this package.
        images: (B, H, W, C), prepared for the model.

    Returns:
        A list with one (B, A, T, T) float32 numpy array per block; rows are
        queries and sum to 1.

    Raises:
        ValueError: for a model without blocks.

    Source:
        arXiv:2010.11929, appendix D.7: softmax(q k / sqrt(d)), before dropout.
    """
    blocks = _blocks(model)
    inputs = keras.Model(model.input, [block.input for block in blocks])
    tokens = inputs(ops.convert_to_tensor(images), training=False)
    tokens = tokens if isinstance(tokens, (list, tuple)) else [tokens]
    return [
        ops.convert_to_numpy(block.attention_weights(x))
        for block, x in zip(blocks, tokens, strict=True)
    ]


def readout_attention(model, images):
    """What the vector that the head reads has looked at in the last step.

    The class token's attention in the last block, the probe's for attention
    pooling, or the mean over all queries for mean pooling; averaged over heads.

    Args:
        model, images: as in `attention_maps`.

    Returns:
        (B, h, w) float32 numpy array, each image scaled to a largest value
        of 1.
    """
    encoder = model.get_layer("patch_encoder")
    pool = next((p for p in model.layers if isinstance(p, POOLS)), None)
    if isinstance(pool, AttentionPooling):
        tokens = keras.Model(model.input, pool.input)
        tokens = tokens(ops.convert_to_tensor(images), training=False)
        weights = ops.convert_to_numpy(pool.attention_weights(tokens))[:, :, 0]
    else:
        weights = attention_maps(model, images)[-1]
        rows = [pool.index] if isinstance(pool, TokenPooling) else slice(None)
        weights = weights[:, :, rows].mean(axis=2)  # (B, A, T)
    weights = weights.mean(axis=1)[:, encoder.prefix_tokens :]  # (B, N)
    weights = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-12)
    return weights.reshape(-1, *encoder.grid)


def _blocks(model):
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    if not blocks:
        raise ValueError(f"model: has no TransformerBlock, got {model.name!r}.")
    return blocks
