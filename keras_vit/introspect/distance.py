"""Mean attention distance of heads: their receptive field, in pixels."""

from typing import Any

import keras
import numpy as np

from keras_vit.introspect import drawing
from keras_vit.introspect.attention import check_room, maps_of
from keras_vit.introspect.layout import blocks_of, stream, token_layout
from keras_vit.types import Figure, Images


def attention_distance(
    model: keras.Model, images: Images, batch_size: int = 16, verbose: int = 0
) -> np.ndarray:
    """Mean attention distance per block and head, in px.

        D(l, a) = 1/(B N) sum over images b and patches i, j of
                  A(b, l, a, i, j) |p_i - p_j|

    A is the attention after the softmax, p_i the place of patch i in px of the image.
    Prefix tokens are dropped as queries and as keys **without renormalising**: what a
    patch gives to the class token or to registers counts as no distance. Versions that
    renormalise give larger figures.

    Args:
        model: made by this package.
        images: (B, H, W, C), prepared for the model. The paper averages over 128.
        batch_size: images at a time. verbose: 1 shows a progress bar.

    Returns:
        (L, A) float64 numpy array, px of the model's image.

    Raises:
        ValueError: for a model without blocks, or images that it does not take.
        MemoryError: when this machine cannot hold the maps of a batch.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 right, fig. 11 and appendix
        D.7; without renormalising as the authors' helper in public forks.
    """
    layout, blocks = token_layout(model), blocks_of(model)
    check_room(blocks, min(batch_size, len(images)))
    total: Any = 0.0
    inputs = [block.input for block in blocks]
    for tokens in stream(model, inputs, images, batch_size, verbose):
        count = tokens[0].shape[0]
        total = total + count * distances_of(maps_of(blocks, tokens), layout)
    return total / len(images)


def distances_of(maps, layout):
    """`attention_distance` of computed attention maps."""
    start, far = len(layout.prefix), patch_distances(layout)
    sums = [np.einsum("baij,ij->a", m[:, :, start:, start:], far) for m in maps]
    return np.stack(sums) / (len(maps[0]) * len(far))


def patch_distances(layout):
    """(N, N) float64, px between the centres of two patches."""
    places = np.indices(layout.grid).reshape(2, -1).T * np.array(layout.step)
    return np.linalg.norm(places[:, None] - places[None], axis=-1)


def plot_attention_distance(distances: np.ndarray) -> Figure:
    """Draw one dot per head over the depth, as in fig. 7 of the ViT paper.

    Args:
        distances: (L, A) px, of `attention_distance`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    depth, heads = distances.shape
    figure, axes = drawing.figure(6.4, 3.8)
    blocks = np.arange(1, depth + 1)
    for rank, values in enumerate(np.sort(distances, axis=1).T):
        colour = drawing.among(rank, heads)
        axes.plot(blocks, values, "o", color=colour, markersize=6, alpha=0.9)
    axes.plot(blocks, distances.mean(axis=1), color=drawing.SOFT, linewidth=1.2)
    drawing.rule(axes)
    axes.set(xlabel="block", ylabel="mean attention distance (px)")
    axes.set_xticks(blocks[:: max(1, depth // 12)])
    axes.set_ylim(0, None)
    return figure
