"""Plot the history of one run or several."""

import csv
import math
import pathlib
from typing import Any

from keras_vit import files, lettering
from keras_vit.types import FilePath

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SHARP = 2  # drawn so many times larger, then reduced
WIDTH, HEIGHT = 560, 340  # px of a panel
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 40, 34  # px around the curves
HEAD = 30  # px of the line with the names of runs
FIRST = ("loss", "top1", "top5")  # panels in this order, the learning rate last


def read_curves(path):
    """Numbers of a run.

    Args:
        path: folder of a run, or its history.csv, or any table with a row per epoch.

    Returns:
        name -> list of floats, NaN where there is no number.

    Raises:
        FileNotFoundError: when there is no table. ValueError: when it has no row.
    """
    path = pathlib.Path(path).expanduser()
    table = path / "history.csv" if path.is_dir() else path
    if not table.is_file():
        raise FileNotFoundError(
            f"{table}: no such table. Give the folder of a run that has finished its "
            "first epoch, or a CSV file."
        )
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{table}: must have a row per epoch, got none.")
    return {n: [_number(row[n]) for row in rows] for n in rows[0] if n != "epoch"}


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def draw_curves(
    runs: dict[str, dict[str, Any]], path: FilePath, overwrite: bool = False
) -> pathlib.Path:
    """Draw a panel for each number, validation strong and training pale.

    Args:
        runs: name -> `Result.history`, or what `read_curves` returned.
        path: of the picture, PNG.
        overwrite: whether an existing file may be replaced.

    Returns:
        `pathlib.Path`.

    Raises:
        FileExistsError: see overwrite. ValueError: when there is nothing to draw.
    """
    from PIL import Image

    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"output: must end in .png, got {path.name!r}.")
    files.check_target(path, overwrite)
    names = panel_names(runs)
    if not names:
        raise ValueError(f"runs: must have a number to draw, got none in {list(runs)}.")
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    picture = Image.new("RGB", (columns * WIDTH, HEAD + rows * HEIGHT), "white")
    picture.paste(_key(runs, columns * WIDTH), (0, 0))
    for place, name in enumerate(names):
        corner = place % columns * WIDTH, HEAD + place // columns * HEIGHT
        picture.paste(_Panel(name, runs).draw(name), corner)
    with files.replacing(path, overwrite) as partial:
        picture.save(partial)
    return path


def panel_names(runs):
    """What there is a panel for, in order: a number and its validation share one.

    >>> panel_names({"a": {"learning_rate": [1.0], "val_top1": [0.5], "loss": [2.0]}})
    ['loss', 'top1', 'learning_rate']
    """
    found = {name.removeprefix("val_") for numbers in runs.values() for name in numbers}
    ranks = {name: rank for rank, name in enumerate(FIRST)} | {"learning_rate": 99}
    return sorted(found, key=lambda name: (ranks.get(name, len(FIRST)), name))


def _canvas(width, height):
    """A large empty picture, and its pencil."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width * SHARP, height * SHARP), "white")
    return image, ImageDraw.Draw(image)


def _key(runs, width):
    """A line with the names of the runs and what strong and pale mean."""
    image, pencil = _canvas(width, HEAD)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(runs))]
    note = ("validation strong, training pale", "#666666")
    left = LEFT * SHARP
    for text, colour in [*zip(runs, colours, strict=True), note]:
        lettering.write(pencil, (left, 8 * SHARP), text, 14 * SHARP, colour)
        left += lettering.length(text, 14 * SHARP) + 24 * SHARP
    return image.resize((width, HEAD))


class _Panel:
    """One number of all runs over the epochs.

    Args:
        name: of the number. runs: name -> numbers.
    """

    def __init__(self, name, runs):
        self.image, self.pencil = _canvas(WIDTH, HEIGHT)
        self.curves = list(_curves(name, runs))
        values = [value for curve, _ in self.curves for value in curve]
        values = [value for value in values if math.isfinite(value)] or [0.0]
        self.levels = ticks(min(values), max(values))
        self.epochs = max(len(curve) for curve, _ in self.curves)

    def place(self, epoch, value):
        """Where a point lies, in px of the large picture."""
        across = (epoch - 1) / max(self.epochs - 1, 1)
        bottom, top = self.levels[0], self.levels[-1]
        up = (value - bottom) / (top - bottom)
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        return x * SHARP, (HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)) * SHARP

    def draw(self, title):
        """The panel, (HEIGHT, WIDTH) px."""
        right = (WIDTH - RIGHT) * SHARP
        for value in self.levels:
            left, y = self.place(1, value)
            self.pencil.line([(left, y), (right, y)], fill="#e4e4e4", width=SHARP)
            left -= 8 * SHARP
            self._write((left, y), f"{value:.6g}", 12, "#444", "rm")
        for epoch in ticks(1, self.epochs):
            if 1 <= epoch <= self.epochs and epoch == int(epoch):
                x, y = self.place(epoch, self.levels[0])
                y += 8 * SHARP
                self._write((x, y), f"{epoch:.0f}", 12, "#444", "ma")
        for curve, colour in self.curves:
            points = [(k, value) for k, value in enumerate(curve, 1)]
            for part in _unbroken(points):
                self._line([self.place(*point) for point in part], colour)
        self._write((LEFT * SHARP, 12 * SHARP), title, 15, "black", "la")
        return self.image.resize((WIDTH, HEIGHT))

    def _write(self, place, text, px, colour, anchor):
        lettering.write(self.pencil, place, text, px * SHARP, colour, anchor)

    def _line(self, places, colour):
        if len(places) > 1:
            self.pencil.line(places, fill=colour, width=2 * SHARP, joint="curve")
        radius = 3 * SHARP
        for x, y in places if len(places) == 1 else places[-1:]:
            box = (x - radius, y - radius, x + radius, y + radius)
            self.pencil.ellipse(box, fill=colour)


def _curves(name, runs):
    """(values, colour) of each curve of a panel, pale ones first."""
    found = []
    for k, numbers in enumerate(runs.values()):
        colour = COLOURS[k % len(COLOURS)]
        validated = f"val_{name}" in numbers
        if name in numbers:
            found.append((numbers[name], _pale(colour) if validated else colour))
        if validated:
            found.append((numbers[f"val_{name}"], colour))
    return found


def _pale(colour):
    """A colour mixed with white, halfway."""
    parts = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{(part + 255) // 2:02x}" for part in parts)


def _unbroken(points):
    """Runs of points without NaN."""
    part = []
    for point in points:
        if math.isfinite(point[1]):
            part.append(point)
        elif part:
            yield part
            part = []
    if part:
        yield part


def ticks(least, most):
    """Round numbers, about five, that span a range.

    >>> ticks(0.13, 0.98)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (most - least) or abs(most) or 1.0
    power = 10 ** math.floor(math.log10(span / 5))
    step = next(power * k for k in (1, 2, 5, 10) if span / (power * k) <= 6)
    first, last = math.floor(least / step), math.ceil(most / step)
    if first == last:
        last += 1
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]
