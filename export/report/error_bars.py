"""Chart of each file's top-1 with its 95% interval."""

import html

from keras_vit.export.report.pareto import grade, label_of
from keras_vit.export.report.svg import nice_ticks

WIDTH, LINE = 720, 26  # px; of a file's line
LEFT, RIGHT, TOP, BOTTOM = 170, 76, 30, 30


def draw(artefacts):
    """Draw a line per file: top-1 as a dot, its interval as a bar, Keras dashed.

    Args:
        artefacts: list of `keras_vit.export.Verification`.

    Returns:
        `<svg>` string whose colours come from the page's style; "" without labels.
    """
    known = [a for a in artefacts if a.top1 is not None]
    if not known:
        return ""
    ends = [end for a in known for end in (*a.top1_interval, a.top1_keras)]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low)
    bottom = TOP + LINE * len(known)

    def across(value):
        share = (value - low + room) / (high - low + 2 * room)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    parts = [_tick(across(v), f"{v:g}", bottom) for v in nice_ticks(low, high)]
    parts.append(_keras(across(known[0].top1_keras), bottom))
    for place, artefact in enumerate(known):
        parts.append(_bar(artefact, TOP + LINE * (place + 0.5), across))
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" class="bars" '
        f'aria-label="{known[0].score} of every file with 95% intervals">'
        f"{''.join(parts)}</svg>"
    )


def _tick(x, text, bottom):
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" class="grid"/>'
        f'<text x="{x:.1f}" y="{bottom + 20}" class="mid">{text}</text>'
    )


def _keras(x, bottom):
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}" class="keras"/>'
        f'<text x="{x:.1f}" y="{TOP - 14}" class="mid">Keras</text>'
    )


def _bar(artefact, y, across):
    low, high = map(across, artefact.top1_interval)
    loss_grade = grade(artefact)
    return (
        f'<text x="{LEFT - 14}" y="{y + 5:.1f}" class="end">'
        f"{html.escape(label_of(artefact))}</text>"
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'class="bar {loss_grade}"/>'
        f'<circle cx="{across(artefact.top1):.1f}" cy="{y:.1f}" r="5" '
        f'class="bubble {loss_grade}"/>'
        f'<text x="{WIDTH - RIGHT + 12}" y="{y + 5:.1f}">{artefact.top1:.2f}%</text>'
    )
