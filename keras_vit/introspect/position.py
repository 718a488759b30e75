"""Cosine similarity of position embeddings."""

import keras
import numpy as np
from keras import ops

from keras_vit.introspect import drawing
from keras_vit.introspect.layout import encoder_of
from keras_vit.types import Figure

MOST = 16  # tiles per side; a grid with more is thinned
REASONS = {
    "relative": "its offsets are one-dimensional and live inside each block",
    "none": "nothing tells its tokens apart",
}


def position_similarity(model: keras.Model) -> np.ndarray:
    """Cosine similarity of every patch's position embedding with all others.

        S(i, j) = e_i . e_j / (|e_i| |e_j|)

    The rows of prefix tokens are dropped; nothing is centred.

    Args:
        model: made by this package, with a table of positions: "learned",
            "learned2d" or "sincos2d".

    Returns:
        (h, w, h, w) float32 numpy array in -1 to 1: [r, c] is the picture of how
        close the patch at row r, column c is to all others.

    Raises:
        ValueError: for position "relative" or "none", which have no table.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 centre and fig. 10.
    """
    encoder = encoder_of(model)
    if encoder.table is None:
        raise ValueError(
            "position_similarity: needs a model whose positions are a table that is "
            f"added to the tokens, got position={encoder.position!r}: "
            f"{REASONS[encoder.position]}. Use one with 'learned', 'learned2d' or "
            "'sincos2d'."
        )
    table = ops.convert_to_numpy(ops.cast(encoder.table.table(), "float32"))[0]
    table = table[-encoder.grid[0] * encoder.grid[1] :]
    table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return (table @ table.T).reshape(*encoder.grid, *encoder.grid)


def plot_position_similarity(similarity: np.ndarray) -> Figure:
    """Draw one tile per patch: the similarity of its position embedding to all others.

    Grids of more than 16 patches per side are thinned: every second, third, ... tile.

    Args:
        similarity: (h, w, h, w) of `position_similarity`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    step = -(-max(similarity.shape[:2]) // MOST)
    tiles = similarity[::step, ::step]
    h, w = similarity.shape[:2]
    figure, axes = drawing.figure(6.2, 0.7 + 4.9 * h / w)
    image = drawing.mosaic(axes, tiles, "viridis", -1, 1)
    drawing.number_tiles(axes, tiles.shape, step)
    axes.set(xlabel="patch column", ylabel="patch row")
    drawing.colour_bar(figure, image, axes, "cosine similarity")
    return figure
