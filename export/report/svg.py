"""SVG charts and images as data URIs, for a self-contained page."""

import base64
import html
import io
import math

import numpy as np

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 16, 34
# Dark blue over magenta and orange to pale yellow: reads well on any photograph.
HEAT = np.array(
    [(13, 8, 70), (106, 0, 168), (203, 71, 120), (248, 149, 64), (250, 240, 130)],
    "float32",
)


def data_uri(pixels):
    """Encode an image for `<img src>`: PNG when small, else JPEG.

    Args:
        pixels: (H, W, C) uint8; one channel is shown grey, of others the first
            three.

    Returns:
        "data:image/...;base64,..." string.
    """
    from PIL import Image

    pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]
    small = pixels.shape[0] * pixels.shape[1] <= 64 * 64
    stream, kind = io.BytesIO(), "png" if small else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def with_heat(pixels, weights):
    """Overlay an attention map on an image.

    Args:
        pixels: (H, W, C) uint8. weights: (h, w) float, any range.

    Returns:
        (H', W', 3) uint8, at least 160 px on the longer side.
    """
    from PIL import Image

    grey = pixels[..., :3].astype("float32").mean(axis=-1)
    scale = max(1, -(-160 // max(grey.shape)))
    size = (grey.shape[1] * scale, grey.shape[0] * scale)
    grey = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.NEAREST))
    weights = weights - weights.min()
    # Clip the map, or a few outlier tokens would hide everything else.
    weights = weights / max(float(np.percentile(weights, 96)), 1e-12)
    weights = Image.fromarray(weights.astype("float32"))
    weights = np.asarray(weights.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    heat = _colour(weights)
    share = (0.25 + 0.5 * weights)[..., None]
    mixed = (1 - share) * grey[..., None] + share * heat
    return mixed.round().clip(0, 255).astype("uint8")


def _colour(values):
    """Map (...) in 0..1 to colours (..., 3) in 0..255."""
    steps = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(values, steps, HEAT[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1)


def curves(series, title):
    """Draw lines over epochs.

    Args:
        series: name -> list of numbers, one per epoch; gaps are NaN or None.
        title: what they show, for people who cannot see the picture.

    Returns:
        `<svg>` string whose colours come from the page's style.
    """
    lines = {name: _finite(values) for name, values in series.items()}
    heights = [y for points in lines.values() for _, y in points]
    epochs = max((len(values) for values in series.values()), default=1)
    if not heights:
        return ""
    ticks = nice_ticks(min(heights), max(heights))
    low, high = min(ticks[0], *heights), max(ticks[-1], *heights)

    def place(epoch, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * epoch / max(epochs - 1, 1)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / ((high - low) or 1.0)
        return f"{x:.1f},{y:.1f}"

    parts = [_horizontal(tick, place(0, tick)) for tick in ticks]
    for epoch in sorted({int(e) for e in np.linspace(0, epochs - 1, min(epochs, 6))}):
        x = place(epoch, low).partition(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 10}" class="mid">{epoch + 1}</text>')
    for index, points in enumerate(lines.values()):
        parts.append(_line(points, place, index))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
    )


def _finite(values):
    """(epoch, value) of the finite values."""
    pairs = enumerate(math.nan if value is None else float(value) for value in values)
    return [(epoch, value) for epoch, value in pairs if math.isfinite(value)]


def _horizontal(tick, place):
    y = float(place.partition(",")[2])
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>'
        f'<text x="{LEFT - 8}" y="{y + 4}" class="end">{tick:g}</text>'
    )


def _line(points, place, index):
    if not points:
        return ""
    path = " ".join(place(*point) for point in points)
    x, y = place(*points[-1]).split(",")
    return (
        f'<polyline points="{path}" class="line s{index}"/>'
        f'<circle cx="{x}" cy="{y}" r="4" class="dot s{index}"/>'
    )


def nice_ticks(low, high, count=5):
    """Round tick values that cover most of a range.

    >>> nice_ticks(0.13, 2.4)
    [0.5, 1.0, 1.5, 2.0]
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)] or [low]
