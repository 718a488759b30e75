"""Plot the learning rate: for a terminal, and as a file."""

import numpy as np

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 640, 260  # px of the file
EDGE = 50  # px around the curve


def text(rates, columns=60, rows=8):
    """The curve in characters, with its highest value and its last step.

    Args:
        rates: (T,) numbers. columns, rows: of characters.

    >>> print(text([0.0, 1.0, 2.0, 1.0], columns=4, rows=2))
    2e+00 |  █
          | ███
        0 +---- 4 steps
    """
    rates = np.asarray(rates, "float64")
    places = np.linspace(0, len(rates) - 1, columns).round().astype(int)
    most = rates.max() or 1.0
    eighths = np.round(rates[places] / most * rows * 8).astype(int)
    lines = []
    for row in reversed(range(rows)):
        cells = np.clip(eighths - 8 * row, 0, 8)
        label = f"{most:.0e}" if row == rows - 1 else ""
        lines.append(f"{label:>5} |" + "".join(BLOCKS[n] for n in cells).rstrip())
    lines.append(f"{0:>5} +" + "-" * columns + f" {len(rates):,} steps")
    return "\n".join(lines)


def svg(rates, title):
    """The curve as a drawing.

    Args:
        rates: (T,) numbers. title: written above.

    Returns:
        Text of an SVG file.
    """
    rates = np.asarray(rates, "float64")
    places = np.unique(np.linspace(0, len(rates) - 1, 1000).round().astype(int))
    most = rates.max() or 1.0
    x = EDGE + (WIDTH - 2 * EDGE) * places / max(1, len(rates) - 1)
    y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * rates[places] / most
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    right, bottom = WIDTH - EDGE, HEIGHT - EDGE
    words = [
        (EDGE, EDGE - 20, "start", title),
        (EDGE - 6, EDGE + 4, "end", f"{most:.2g}"),
        (EDGE - 6, bottom + 4, "end", "0"),
        (right, bottom + 20, "end", f"{len(rates):,} steps"),
        (EDGE, bottom + 20, "start", "learning rate by step"),
    ]
    labels = "".join(
        f'<text x="{a}" y="{b}" text-anchor="{anchor}">{_escape(word)}</text>'
        for a, b, anchor, word in words
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<path d="M{EDGE} {EDGE}V{bottom}H{right}" fill="none" stroke="#999"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f6feb" '
        f'stroke-width="2"/>{labels}</svg>\n'
    )


def _escape(word):
    return word.replace("&", "&amp;").replace("<", "&lt;")
