"""The report's charts: size against latency, signal-to-noise, training curves."""

import html
import math

from keras_vit.export.report import error_bars, pareto, svg
from keras_vit.export.report import history as curves_of


def all_files(artefacts):
    """Chart of size, latency and top-1 of every file; "" for fewer than two."""
    drawn = pareto.draw(artefacts)
    if not drawn:
        return ""
    kinds = (("fine", "0.5 points or less"), ("some", "up to 1.5"), ("much", "more"))
    legend = "".join(f'<i class="{kind}"></i>{text}' for kind, text in kinds)
    front = ""
    if "<polyline" in drawn:
        front = " The line joins files that no other beats in size and time."
    return (
        f'<div class="card"><div class="wide">{drawn}</div>'
        f'<p class="legend2 soft">Lost: {legend}</p></div>'
        '<p class="soft below">Left is smaller, down is faster; both axes are '
        f"logarithms. Behind a name: the change of {html.escape(artefacts[0].score)} "
        "in points, where the images can show one (of agreement without labels)."
        f"{front}</p>{_bars(artefacts)}"
    )


def _bars(artefacts):
    """Chart of each file's top-1 with its interval."""
    drawn = error_bars.draw(artefacts)
    if not drawn:
        return ""
    score = html.escape(artefacts[0].score)
    return (
        f'<div class="card"><h3>{score[:1].upper() + score[1:]}, %</h3>'
        f'<div class="wide">{drawn}</div></div>'
        f'<p class="soft below">The bar is where {score} lies, with 95% certainty, on '
        f"other images of this kind (Wilson 1927), judged by these "
        f"{artefacts[0].change.images}. All files answer for the same images, so two "
        "bars that overlap may still differ: what a file gains or loses against Keras "
        "is told by the images that flipped (McNemar 1947; interval of Bonett and "
        "Price 2012) and stands in the table.</p>"
    )


def layers(artefacts):
    """Chart of the signal-to-noise ratio per block and file."""
    known = [a for a in artefacts if a.layers and a.layers.points]
    known = [a for a in known if a.precision != "float32"]
    if not known:
        return ""
    names = list(known[0].layers.points)
    cards = []
    for artefact in known:
        report = artefact.layers
        series = {"dB": list(report.points.values())}  # gaps where identical
        drawn = svg.curves(series, f"{artefact.path.name}, dB by block")
        same = sum(value == math.inf for value in report.points.values())
        more = f"; identical at {same} of {len(report.points)} points" if same else ""
        where = report.first_wrong or report.noisiest
        kind = "wrong first at" if report.first_wrong else "most noise added at"
        said = f"{kind} {html.escape(where)}" if where else "no noise"
        cards.append(
            f'<div class="card"><h3>{html.escape(artefact.path.name)}</h3>{drawn}'
            f'<p class="soft">{said}{more}</p></div>'
        )
    return (
        f'<p class="soft">Signal to noise in dB after {names[0]} and after each '
        f"attention and MLP up to {names[-1]}, against the Keras model.</p>"
        f'<div class="grid two">{"".join(cards)}</div>'
    )


def training(report):
    """Chart of the training curves, with their source."""
    cards = []
    for title, series in curves_of.panels(report.history).items():
        drawn = svg.curves(series, f"{title} over epochs")
        legend = "".join(
            f'<i class="s{index}"></i>{html.escape(name)}'
            for index, name in enumerate(series)
        )
        name = _named(title)
        if drawn:
            cards.append(
                f'<div class="card"><span class="legend">{legend}</span>'
                f"<h3>{html.escape(name)}</h3>{drawn}</div>"
            )
    if not cards:
        return ""
    source = ""
    if report.history_from is not None:
        source = f'<p class="soft">From {html.escape(report.history_from)}</p>'
    return f'{source}<div class="grid two">{"".join(cards)}</div>'


def _named(title):
    """Display name of a training metric.

    >>> _named("top1"), _named("log_loss")
    ('Top-1', 'Log loss')
    """
    name = title.replace("_", " ").capitalize()
    return f"Top-{name[3:]}" if name[3:].isdecimal() and name[:3] == "Top" else name
