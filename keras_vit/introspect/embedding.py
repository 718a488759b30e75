"""Images inside a page: figures as SVG text, photographs as JPEG."""

import base64
import html
import io
import re

import numpy as np

from keras_vit.introspect import drawing

# A figure's own colours -> those of the page, which knows light from dark.
COLOURS = {
    drawing.INK: "var(--ink)",
    drawing.SOFT: "var(--soft)",
    drawing.RULE: "var(--rule)",
}
ENLARGED = 1.4  # px of the page for each point of a figure


def svg(figure, alt):
    """Convert a matplotlib figure to `<svg>`, in the page's colours and type.

    Args:
        figure: `matplotlib.figure.Figure`, drawn in the colours of `drawing`.
        alt: what it shows, for people who cannot see it.

    Returns:
        HTML text.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    inside = text[text.index(">") + 1 :]
    inside = re.sub(r"<style.*?</style>", "", inside, flags=re.DOTALL)
    inside = re.sub(r'<g id="[a-zA-Z]\w*_\d+">', "<g>", inside)
    for ours, theirs in COLOURS.items():
        inside = inside.replace(ours, theirs)
    return (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box.group()} style="max-width: {ENLARGED * float(box.group(1)):.0f}px" '
        f'role="img" aria-label="{html.escape(alt)}">{inside}'
    )


def image(pixels, alt):
    """Convert a photograph to `<img>`.

    Args:
        pixels: (H, W, 3) uint8. alt: what it shows.

    Returns:
        HTML text.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "jpeg", quality=86)
    data = base64.b64encode(stream.getvalue()).decode()
    height, width = pixels.shape[:2]
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}" '
        f'width="{width}" height="{height}">'
    )


def large_enough(pixels, least=192):
    """Repeat the pixels of a small picture, so that a heat map stays smooth.

    Args:
        pixels: (H, W, 3) uint8. least: px of the longer side.

    Returns:
        (H', W', 3) uint8.
    """
    times = -(-least // max(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def thumbnail(pixels, side=112):
    """Shrink a picture to a longer side of at most `side` px."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(pixels))
    small.thumbnail((side, side))
    return np.asarray(small)
