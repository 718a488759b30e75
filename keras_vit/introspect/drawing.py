"""Drawing helpers of this room: colours, axes, tiles, heat maps.

Figures are matplotlib's, made without pyplot: nothing is kept, no window opens.
"""

import io

import numpy as np

from keras_vit import lettering
from keras_vit.layers.interpolate import matrix

INK, SOFT, RULE = "#1b2027", "#6a7280", "#d9dde3"
HEAT = "inferno"
GAP = 1  # between tiles, in cells of a tile


def figure(width, height, rows=1, columns=1, widths=None):
    """Make an empty figure with its axes.

    Args:
        width, height: inches. rows, columns: of axes. widths: shares of the columns.

    Returns:
        (`matplotlib.figure.Figure`, which a notebook shows when it is the last line of
        a cell; axes as of `Figure.subplots`).

    Raises:
        ImportError: without matplotlib, with the line that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise ImportError(
            "matplotlib: must be installed to draw, got none. "
            "Run: pip install 'matplotlib>=3.10'"
        ) from err

    class Shown(Figure):
        def _repr_png_(self):
            """The picture itself, where pyplot would have to be imported for it."""
            data = io.BytesIO()
            self.savefig(data, format="png")
            return data.getvalue()

    drawn = Shown(figsize=(width, height), dpi=150, layout="constrained")
    axes = drawn.subplots(rows, columns, width_ratios=widths)
    for place in np.atleast_1d(axes).ravel():
        _quiet(place)
    return drawn, axes


def _quiet(axes):
    """Remove the frame; text and ticks take the page's colours."""
    axes.tick_params(which="both", colors=SOFT, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(INK)
        axis.label.set_size(9)


def letter(texts):
    """Set a font that has the letters of a figure's texts.

    Args:
        texts: list of `matplotlib.text.Text`.
    """
    from matplotlib.font_manager import FontProperties, fontManager

    for text in texts:
        face, shown = lettering.chosen(text.get_text())
        text.set_text(shown)
        if face is not None:
            fontManager.addfont(face)
            text.set_fontfamily([FontProperties(fname=face).get_name(), "DejaVu Sans"])


def rule(axes):
    """Draw thin horizontal grid lines behind a chart."""
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)


def colour_bar(drawn, image, axes, label, shrink=0.8):
    """Draw a colour bar beside an image."""
    bar = drawn.colorbar(image, ax=axes, shrink=shrink, pad=0.03, format="{x:g}")
    bar.ax.yaxis.set_minor_formatter("{x:g}")
    bar.outline.set_visible(False)
    _quiet(bar.ax)
    bar.set_label(label)


def among(rank, count, name="viridis"):
    """Colour of one of several series, neither too dark nor too pale.

    Args:
        rank: 0 to count - 1. name: of a matplotlib colour map.

    Returns:
        (red, green, blue, alpha), 0 to 1.
    """
    from matplotlib import colormaps

    return colormaps[name](0.15 + 0.65 * rank / max(count - 1, 1))


def mosaic(axes, tiles, colours, low, high):
    """Draw tiles beside each other with gaps between.

    Args:
        axes: to draw on. tiles: (R, C, h, w) float, in rows and columns.
        colours: name of a colour map. low, high: values at its two ends.

    Returns:
        The image, for a colour bar.
    """
    rows, columns, h, w = tiles.shape
    padded = np.full((rows, columns, h + GAP, w + GAP), np.nan, "float32")
    padded[:, :, :h, :w] = tiles
    whole = padded.transpose(0, 2, 1, 3).reshape(rows * (h + GAP), columns * (w + GAP))
    whole = whole[:-GAP, :-GAP]
    # "none" leaves the cells as they are in vector formats: sharp at any size.
    return axes.imshow(whole, cmap=colours, vmin=low, vmax=high, interpolation="none")


def number_tiles(axes, shape, step=1):
    """Number the rows and columns of a mosaic, from 1.

    Args:
        axes: of `mosaic`. shape: (R, C, h, w) of its tiles.
        step: what one tile to the right adds, where some were left out.
    """
    rows, columns, h, w = shape
    for axis, count, side in ((axes.yaxis, rows, h), (axes.xaxis, columns, w)):
        chosen = np.arange(0, count, max(1, count // 8))
        axis.set_ticks(chosen * (side + GAP) + (side - 1) / 2, 1 + chosen * step)


def three_channels(picture):
    """(H, W, C) -> (H, W, 3): one or two channels become grey, of more three stay."""
    if picture.shape[-1] >= 3:
        return picture[..., :3]
    return np.repeat(picture[..., :1], 3, axis=-1)


def enlarge(weights, size):
    """Interpolate a map over the patches to the size of a picture.

    Args:
        weights: (h, w) float. size: (H, W) px.

    Returns:
        (H, W) float64.
    """
    down, across = (
        matrix(old, new) for old, new in zip(weights.shape, size, strict=True)
    )
    return down @ weights @ across.T


def lit(picture, weights):
    """Multiply a picture by a map scaled to a maximum of 1.

    Args:
        picture: (H, W, 3) uint8. weights: (h, w) float, 0 or more.

    Returns:
        (H, W, 3) uint8.
    """
    light = enlarge(weights, picture.shape[:2])
    light = light / max(light.max(), 1e-12)
    return np.round(picture * light[..., None]).astype("uint8")


def heated(picture, weights, brightest=97):
    """Overlay a heat map on a grey picture.

    Args:
        picture: (H, W, 3) uint8. weights: (h, w) float, any range.
        brightest: percentile of the map at which the colours end: a few patches, often
            in the corners, would otherwise outshine all others.

    Returns:
        (H, W, 3) uint8.
    """
    from matplotlib import colormaps

    low, high = weights.min(), np.percentile(weights, brightest)
    weights = ((weights - low) / max(high - low, 1e-12)).clip(0, 1)
    heat = enlarge(weights, picture.shape[:2])
    colours = 255 * colormaps[HEAT](heat)[..., :3]
    grey = picture.mean(axis=-1, keepdims=True)
    share = 0.35 + 0.45 * heat[..., None]
    return np.round((1 - share) * grey + share * colours).astype("uint8")
