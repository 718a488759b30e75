"""Attention rollout: attention through all blocks, back to the patches."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_vit.introspect import drawing
from keras_vit.introspect.attention import check_room, maps_of, probe_rows
from keras_vit.introspect.layout import blocks_of, probe_of, stream, token_layout
from keras_vit.types import Figure, Images


def attention_rollout(
    model: keras.Model, images: Images, batch_size: int = 16, verbose: int = 0
) -> np.ndarray:
    """Compute attention rollout from the head's tokens back to the patches.

    With A_l the attention of block l, averaged over heads, and I for the residual
    branch, A'_l = (A_l + I) / 2 is what block l mixes, and

        R = A'_L A'_(L-1) ... A'_1,    map = r R.

    r says what the head reads: 1 for the class token, 1/2 for each of a DeiT's two
    tokens, 1/N for every patch under mean pooling, and under attention pooling the
    probe's attention, averaged over heads. The rows of A'_l sum to 1, so a map and
    what falls on prefix tokens sum to 1; prefix tokens are then left out, and the
    rest is not scaled.

    Args:
        model: made by this package.
        images: (B, H, W, C), prepared for the model.
        batch_size: images at a time. verbose: 1 shows a progress bar.

    Returns:
        (B, h, w) float32 numpy array, share of each patch.

    Raises:
        ValueError: for a model without blocks, or images that it does not take.
        MemoryError: when this machine cannot hold the maps of a batch.

    Source:
        Abnar and Zuidema 2020, arXiv:2005.00928, section 3; for ViT: Dosovitskiy et
        al. 2021, arXiv:2010.11929, fig. 6, fig. 14 and appendix D.8. Theirs is the
        class token alone; the other readings are ours.
    """
    layout, blocks, probe = token_layout(model), blocks_of(model), probe_of(model)
    check_room(blocks, min(batch_size, len(images)))
    inputs = [block.input for block in blocks]
    inputs += [] if probe is None else [probe.input]
    maps = []
    for tokens in stream(model, inputs, images, batch_size, verbose):
        rows = layout.readers if probe is None else probe_rows(probe, tokens[-1])
        maps.append(roll(maps_of(blocks, tokens[: len(blocks)]), rows))
    return layout.to_grid(np.concatenate(maps))


def roll(maps, rows):
    """`attention_rollout` of computed attention maps.

    Args:
        maps: of `attention_maps`.
        rows: (T,) or (B, T), what is read of each token after the last block.

    Returns:
        (B, T) float32 numpy array.

    >>> half = np.array([[[[0.5, 0.5], [0.0, 1.0]]]])  # one image, one head
    >>> roll([half, half], np.array([1.0, 0.0])).tolist()
    [[0.5625, 0.4375]]
    """
    rows = np.broadcast_to(rows, (maps[0].shape[0], maps[0].shape[-1]))
    for weights in reversed(maps):
        mixed = np.einsum("bq,bqk->bk", rows, weights.mean(axis=1))
        rows = (rows + mixed) / 2
    return rows.astype("float32")


def plot_attention_rollout(
    rollouts: np.ndarray, pictures: Sequence[np.ndarray]
) -> Figure:
    """Draw each picture beside its rollout map.

    The second is the picture times the map, interpolated and divided by its largest
    value, as in fig. 6 of the ViT paper.

    Args:
        rollouts: (B, h, w) of `attention_rollout`.
        pictures: list of B (H, W, C) uint8 arrays, as the model saw them.

    Returns:
        `matplotlib.figure.Figure`.
    """
    pairs = min(3, len(pictures))
    lines = -(-len(pictures) // pairs)
    figure, axes = drawing.figure(3.4 * pairs, 1.75 * lines, lines, 2 * pairs)
    axes = np.atleast_1d(axes).ravel()
    for place in axes:
        place.axis("off")
    for index, (weights, picture) in enumerate(zip(rollouts, pictures, strict=True)):
        picture = drawing.three_channels(ops.convert_to_numpy(picture))
        axes[2 * index].imshow(picture)
        axes[2 * index + 1].imshow(drawing.lit(picture, weights))
    return figure
