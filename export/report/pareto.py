"""Pareto chart of size, latency and accuracy of all files."""

import html
import math

from keras_vit.export.report.advice import good_enough, lost

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 34, 44
LINE = 19  # height of a label
LETTER = 9.2  # width of one, at most
SOME = 1.5  # points lost that are called "some", not "much"


def label_of(artefact):
    """Short name of a file.

    >>> import pathlib, types
    >>> label_of(types.SimpleNamespace(path=pathlib.Path("model_int4.tflite")))
    'int4'
    """
    path = artefact.path
    if path.name == "saved_model":
        return "SavedModel"
    recipe = path.stem.removeprefix("model").strip("_")
    if path.suffix == ".tflite":
        return recipe or "float32"
    return f"{path.suffix[1:].upper()} {recipe}".strip()


def grade(artefact):
    """Grade of a file's accuracy loss: "fine", "some" or "much"."""
    points = lost(artefact) or 0.0
    if good_enough(artefact):
        return "fine"
    return "some" if artefact.passed and points <= SOME else "much"


def draw(artefacts):
    """Draw every file by size and latency on log axes, coloured by accuracy loss.

    A line joins the files that no other beats in both, among those that lose at most
    half a point.

    Args:
        artefacts: list of `keras_vit.export.Verification`.

    Returns:
        `<svg>` string whose colours come from the page's style; "" for fewer than two.
    """
    if len(artefacts) < 2:
        return ""
    across = Axis([a.size_bytes / 1e6 for a in artefacts], LEFT, WIDTH - RIGHT)
    up = Axis([a.milliseconds for a in artefacts], HEIGHT - BOTTOM, TOP)
    places = [(across(a.size_bytes / 1e6), up(a.milliseconds)) for a in artefacts]
    parts = [_across(across), _up(up), _front(artefacts, places)]
    grades = [grade(a) for a in artefacts]
    for (x, y), loss_grade in zip(places, grades, strict=True):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" class="bubble {loss_grade}"/>'
        )
    texts = [_text(a) for a in artefacts]
    for text, loss_grade, (x, y), box in zip(
        texts, grades, places, spread(places, texts), strict=True
    ):
        # A label left of its bubble ends there, whatever the letters' real width.
        side, left, line = (" end", box[2], box[3]) if box[2] < x else ("", *box[::3])
        line -= 4
        if abs(line - y) > LINE:
            parts.append(
                f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{left:.1f}" y2="{line - 4:.1f}" '
                'class="leader"/>'
            )
        parts.append(
            f'<text x="{left:.1f}" y="{line:.1f}" class="name {loss_grade}{side}">'
            f"{html.escape(text)}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="pareto" '
        f'aria-label="size and time of every file">{"".join(parts)}</svg>'
    )


def _text(artefact):
    """Name of a file, with its accuracy loss where that is significant."""
    points, change = lost(artefact), artefact.change
    if points is None or (change is not None and not change.certain):
        return label_of(artefact)
    return f"{label_of(artefact)} {-points + 0.0:+.1f}"


class Axis:
    """A logarithmic axis with margins around all values.

    Args:
        values: above 0. start, end: where it begins and ends, in px.
    """

    def __init__(self, values, start, end):
        low, high = math.log10(min(values)), math.log10(max(values))
        room = max(0.12 * (high - low), 0.12)
        self._low, self._high = low - room, high + room
        self._start, self._end = start, end

    def __call__(self, value):
        """Position of a value in px."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    @property
    def ticks(self):
        """Round tick values on the axis: 1, 2, 5 and their powers, seven at most."""
        ticks = []
        for power in range(math.floor(self._low), math.ceil(self._high) + 1):
            ticks += [digit * 10.0**power for digit in (1, 2, 5)]
        ticks = [v for v in ticks if self._low <= math.log10(v) <= self._high]
        return ticks if len(ticks) <= 7 else ticks[:: -(-len(ticks) // 7)]


def _across(axis):
    parts = [
        f'<text x="{axis(v):.1f}" y="{HEIGHT - 20}" class="mid">{v:g}</text>'
        f'<line x1="{axis(v):.1f}" x2="{axis(v):.1f}" y1="{TOP}" '
        f'y2="{HEIGHT - BOTTOM}" class="grid"/>'
        for v in axis.ticks
    ]
    end = f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" class="end">MB</text>'
    return "".join(parts) + end


def _up(axis):
    parts = [
        f'<text x="{LEFT - 8}" y="{axis(v) + 5:.1f}" class="end">{v:g}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axis(v):.1f}" '
        f'y2="{axis(v):.1f}" class="grid"/>'
        for v in axis.ticks
    ]
    return "".join(parts) + f'<text x="4" y="{TOP - 16}">ms for one image</text>'


def _front(artefacts, places):
    """Draw the Pareto front of size and latency."""
    good = [p for a, p in zip(artefacts, places, strict=True) if grade(a) == "fine"]
    best = [
        (x, y)
        for x, y in good
        if not any(
            (u <= x and v >= y) and (u, v) != (x, y) for u, v in good
        )  # left and below: down the page
    ]
    if len(best) < 2:
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in sorted(best))
    return f'<polyline points="{points}" class="front"/>'


def spread(places, texts):
    """Place labels so that none covers another or a bubble.

    Args:
        places: [(x, y)] of the bubbles. texts: one label each.

    Returns:
        [(left, top, right, bottom)], in px.
    """
    taken = [(x - 10, y - 10, x + 10, y + 10) for x, y in places]
    boxes = {}
    for index in sorted(range(len(places)), key=lambda k: places[k][1]):
        x, y = places[index]
        width = LETTER * len(texts[index])
        box = next(
            (
                box
                for box in _tries(x, y, width)
                if _inside(box) and not any(_overlap(box, other) for other in taken)
            ),
            (x + 14, y - 12, x + 14 + width, y + 6),
        )
        taken.append(box)
        boxes[index] = box
    return [boxes[index] for index in range(len(places))]


def _tries(x, y, width):
    """Candidate boxes of a label: beside, then farther above and below."""
    for step in range(12):
        for sign in (1, -1):
            middle = y + sign * step * LINE * 0.6
            for left in (x + 14, x - 14 - width, x - width / 2):
                if left == x - width / 2 and step < 2:
                    continue
                yield left, middle - LINE / 2, left + width, middle + LINE / 2


def _inside(box):
    left, top, right, bottom = box
    return left >= LEFT and right <= WIDTH and top >= 0 and bottom <= HEIGHT - BOTTOM


def _overlap(one, other):
    apart = one[2] <= other[0] or other[2] <= one[0]
    return not (apart or one[3] <= other[1] or other[3] <= one[1])
