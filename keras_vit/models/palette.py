"""Colour palettes of image GPT: a few hundred colours for all pixels."""

import numpy as np
from keras import ops


def grid_palette(colors=512):
    """Palette on an even grid, the same number of levels per channel.

    Args:
        colors: a cube, such as 512 = 8^3.

    Returns:
        (colors, 3) float32 in -1..1, red changes slowest.

    Raises:
        ValueError: when it is no cube.

    >>> grid_palette(8)[:3].tolist()
    [[-0.5, -0.5, -0.5], [-0.5, -0.5, 0.5], [-0.5, 0.5, -0.5]]
    """
    levels = round(colors ** (1 / 3))
    if levels**3 != colors:
        raise ValueError(
            f"colors: an even grid needs a cube, got {colors}. Use 512, or pass "
            "palette=fit_palette(images, colors)."
        )
    line = (np.arange(levels) + 0.5) / levels * 2 - 1
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
    return grid.reshape(-1, 3).astype("float32")


def fit_palette(images, colors=512, seed=0):
    """Fit a palette to images by k-means.

    Args:
        images: (B, H, W, 3) in -1..1. colors: how many. seed: of the search.

    Returns:
        (colors, 3) float32 in -1..1.

    Raises:
        ValueError: when there are fewer different pixels than colours.

    Source:
        Chen et al. 2020, "Generative Pretraining from Pixels", section 3.1: k-means of
        the pixels; how theirs was run is not published.
    """
    from sklearn.cluster import MiniBatchKMeans

    pixels = np.asarray(images, "float32").reshape(-1, 3)
    different = len(np.unique(pixels, axis=0))
    if different < colors:
        raise ValueError(
            f"images: must have at least {colors} different pixels, got {different}. "
            "Pass more images, or fewer colors."
        )
    search = MiniBatchKMeans(
        colors, random_state=seed, batch_size=16384, n_init=1, max_iter=50
    )
    return search.fit(pixels).cluster_centers_.astype("float32")


def read_palette(path):
    """Read a palette from a file that `np.save` wrote.

    Args:
        path: of an .npy file with (V, 3) numbers.

    Returns:
        (V, 3) float32.

    Raises:
        ValueError: for another file. FileNotFoundError: without one.
    """
    try:
        palette = np.load(path, mmap_mode="r", allow_pickle=False)
        right = (
            palette.ndim == 2 and palette.shape[1] == 3 and palette.dtype.kind == "f"
        )
        shown = f"{palette.dtype} of shape {palette.shape}"
    except (ValueError, AttributeError, EOFError) as err:  # no array, or several
        right, shown = False, f"what is no such file ({err})"
    if not right:
        raise ValueError(
            f"palette: must be an .npy file of (colours, 3) floats, got {shown} in "
            f"{str(path)!r}. Write one with np.save(path, fit_palette(images, 512))."
        )
    return np.array(palette, "float32")


def quantize(images, palette):
    """Number of the nearest palette colour of each pixel, row by row.

    Args:
        images: (B, H, W, 3) in -1..1. palette: (V, 3).

    Returns:
        (B, H*W) int32.
    """
    height, width = images.shape[1:3]
    pixels = ops.reshape(ops.cast(images, "float32"), (-1, height * width, 3))
    # |x - c|^2 without |x|^2, which is the same for every colour.
    near = ops.sum(palette * palette, axis=1)
    near = near - 2.0 * ops.matmul(pixels, ops.transpose(palette))
    return ops.cast(ops.argmin(near, axis=-1), "int32")
