"""Attention maps of a trained model."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_vit.files import check_memory
from keras_vit.introspect import drawing
from keras_vit.introspect.layout import (
    TokenLayout,
    blocks_of,
    probe_of,
    runner,
    token_layout,
)
from keras_vit.types import Figure, Images


def attention_maps(model: keras.Model, images: Images) -> list[np.ndarray]:
    """Compute the attention weights of every block.

    Args:
        model: made by this package.
        images: (B, H, W, C), prepared for the model.

    Returns:
        A list with one (B, A, T, T) float32 numpy array per block; rows are
        queries and sum to 1.

    Raises:
        ValueError: for a model without blocks, or images that it does not take.
        MemoryError: when this machine cannot hold them.

    Source:
        arXiv:2010.11929, appendix D.7: softmax(q k / sqrt(d)), before dropout.
    """
    blocks = blocks_of(model)
    check_room(blocks, len(images))
    tokens = runner(model, [block.input for block in blocks])(images)
    return maps_of(blocks, tokens)


def check_room(blocks, count):
    """Refuse to keep more attention maps at a time than fit into memory.

    Args:
        blocks: whose maps. count: images at a time.

    Raises:
        MemoryError: with what is needed and what is free.
    """
    cells = sum(block.heads * block.input.shape[1] ** 2 for block in blocks)
    check_memory(f"attention maps of {count} images at a time", 4 * count * cells)


def maps_of(blocks, tokens):
    """Attention weights of each block for its input tokens, as in `attention_maps`."""
    return [
        ops.convert_to_numpy(block.attention_weights(x))
        for block, x in zip(blocks, tokens, strict=True)
    ]


def readout_attention(model: keras.Model, images: Images) -> np.ndarray:
    """Attention of the pooled vector in the last block.

    The class token's attention in the last block (the mean of both tokens of a
    DeiT), the mean over the patches for mean pooling, or the probe's attention for
    attention pooling; averaged over heads.

    Args:
        model, images: as in `attention_maps`.

    Returns:
        (B, h, w) float32 numpy array, each image scaled to a largest value
        of 1.
    """
    layout, probe = token_layout(model), probe_of(model)
    if probe is not None:
        (tokens,) = runner(model, [probe.input])(images)
        rows = probe_rows(probe, tokens)
    else:
        last = blocks_of(model)[-1]
        (tokens,) = runner(model, [last.input])(images)
        rows = reader_rows(maps_of([last], [tokens]), layout)[:, 0].mean(axis=1)
    rows = layout.to_grid(rows)
    return rows / np.maximum(rows.max(axis=(1, 2), keepdims=True), 1e-12)


def probe_rows(probe, tokens):
    """Weights of attention pooling, mean over its heads: (B, T)."""
    return ops.convert_to_numpy(probe.attention_weights(tokens))[:, :, 0].mean(axis=1)


def reader_rows(maps, layout):
    """Attention of the tokens that the head reads, per block and head.

    Args:
        maps: of `attention_maps`. layout: `TokenLayout` of the model.

    Returns:
        (B, L, A, T) float32 numpy array; rows sum to 1.
    """
    return np.stack([np.einsum("q,baqk->bak", layout.readers, m) for m in maps], 1)


def plot_attention_maps(
    maps: Sequence[np.ndarray], layout: TokenLayout, index: int = 0
) -> Figure:
    """Draw the attention of the head's tokens: a column per block, a row per head.

    Every tile is scaled to its own largest value, prefix tokens left out.

    Args:
        maps: of `attention_maps`. layout: `token_layout(model)`.
        index: which image of the batch.

    Returns:
        `matplotlib.figure.Figure`.
    """
    one = [m[index : index + 1] for m in maps]
    return draw_heads(layout.to_grid(reader_rows(one, layout))[0])


def draw_heads(tiles):
    """Draw `plot_attention_maps` from tiles that are computed, (L, A, h, w)."""
    tiles = tiles / np.maximum(tiles.max(axis=(2, 3), keepdims=True), 1e-12)
    tiles = tiles.transpose(1, 0, 2, 3)
    heads, depth, h, w = tiles.shape
    width = max(3.0, min(10.0, 0.75 * depth))
    height = width * (heads * (h + 1)) / (depth * (w + 1))
    figure, axes = drawing.figure(width + 0.5, height + 0.5)
    drawing.mosaic(axes, tiles, drawing.HEAT, 0, 1)
    drawing.number_tiles(axes, tiles.shape)
    axes.set(xlabel="block", ylabel="head")
    return figure
