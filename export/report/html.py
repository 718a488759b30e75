"""The report as one HTML file that needs nothing else."""

import html
import math

from keras_vit.export.processors.trial import cell
from keras_vit.export.report import history as curves_of
from keras_vit.export.report import pareto, snippets, svg
from keras_vit.export.report.advice import lost, reference_of
from keras_vit.export.report.css import CSS

HEADS = ("Size", "Difference", "Noise", "Top-1", "Agreement", "Time", "")


def render(report):
    """Write the page.

    Args:
        report: `keras_vit.export.ExportReport`.

    Returns:
        HTML text.
    """
    sections = (
        _header(report),
        _ship(report),
        _section("Size, time and accuracy", _pareto(report.artefacts)),
        _section("Files", _artefacts(report)),
        _section("Noise, block by block", _layers(report.artefacts)),
        _section("Training", _curves(report.history)),
        _section("Test images", _gallery(report)),
        _section("Model and machine", _facts(report)),
        _section("Use the files", _snippets(report)),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(report.model['name'])}, export report</title>"
        f"<style>{CSS}</style></head><body><main>{''.join(sections)}</main></body></html>\n"
    )


def _text(value):
    return html.escape(str(value))


def _section(title, body):
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _header(report):
    facts, failed = report.model, sum(not a.passed for a in report.artefacts)
    failed += len(report.failures)
    total = len(report.artefacts) + len(report.failures)
    verdict = (
        f"{failed} of {total} files failed" if failed else f"{total} files verified"
    )
    line = " · ".join(
        (
            f"{facts['parameters'] / 1e6:.2f} M parameters",
            " × ".join(map(str, facts["input"])),
            f"{facts['output']} {facts['output_name']}",
            report.created[:16].replace("T", " "),
        )
    )
    return (
        f'<header><div><h1>{_text(facts["name"])}</h1><p class="soft">{_text(line)}</p>'
        f"</div><p>{_pill(verdict, not failed, 'big')}</p></header>"
    )


def _pill(text, good, more=""):
    return f'<span class="pill {"good" if good else "bad"} {more}">{_text(text)}</span>'


def _ship(report):
    """The answer that most readers came for, before anything else."""
    advice = report.advice
    if not advice:
        return ""
    first, *others = advice
    reference = reference_of(report.artefacts)
    rows = "".join(
        f'<div><span class="soft">{_text(other.use)}</span>'
        f"<b>{_text(other.artefact.path.name)}</b>"
        f'<span class="soft">{_text(other.why)}</span>{_caution(other)}</div>'
        for other in others
    )
    return (
        f'<section class="ship card"><div class="hero"><p class="soft">'
        f"{_text(first.use)}: ship</p><h2>{_text(first.artefact.path.name)}</h2>"
        f"{_caution(first)}</div>{_tiles(first.artefact, reference)}</section>"
        + (f'<section class="uses">{rows}</section>' if others else "")
    )


def _caution(advice):
    if not advice.caution:
        return ""
    return f'<span class="caution">{_text(advice.caution)}</span>'


def _tiles(artefact, reference):
    """Three large numbers: how much smaller, how much faster, how right."""
    tiles = []
    if reference is not None and reference is not artefact:
        size = reference.size_bytes / artefact.size_bytes
        time = reference.milliseconds / artefact.milliseconds
        tiles = [
            (f"{size:.1f}×", "smaller than float32"),
            (f"{time:.1f}×", "faster than float32"),
        ]
    else:
        tiles = [
            (_megabytes(artefact.size_bytes), "file"),
            (_milliseconds(artefact.milliseconds), "for one image"),
        ]
    if artefact.top1 is not None:
        tiles.append((_percent(artefact.top1), f"top-1, {_points(artefact)}"))
    elif artefact.agreement is not None:
        tiles.append((_percent(artefact.agreement), "same choice as Keras"))
    cells = "".join(f"<div><b>{a}</b><span>{b}</span></div>" for a, b in tiles)
    return f'<div class="tiles">{cells}</div>'


def _points(artefact):
    points = lost(artefact)
    if abs(points) < 0.005:
        return "as Keras"
    return f"{abs(points):.2f} {'below' if points > 0 else 'above'} Keras"


def _pareto(artefacts):
    drawn = pareto.draw(artefacts)
    if not drawn:
        return ""
    kinds = (("fine", "0.5 points or less"), ("some", "up to 1.5"), ("much", "more"))
    legend = "".join(f'<i class="{kind}"></i>{text}' for kind, text in kinds)
    return (
        f'<div class="card"><div class="wide">{drawn}</div>'
        f'<p class="legend2 soft">Lost: {legend}</p></div>'
        '<p class="soft" style="margin-top:12px">Left is smaller, down is faster; both '
        "axes are logarithms. Behind each name the change of top-1 in points (of "
        "agreement without labels). The line joins files that no other beats in size "
        "and time.</p>"
    )


def _layers(artefacts):
    """How the signal-to-noise ratio falls through the model, per file."""
    known = [a for a in artefacts if a.layers and a.layers.points]
    known = [a for a in known if a.precision != "float32"]
    if not known:
        return ""
    names = list(known[0].layers.points)
    cards = []
    for artefact in known:
        found = artefact.layers
        series = {"dB": [min(v, 120.0) for v in found.points.values()]}
        drawn = svg.curves(series, f"{artefact.path.name}, dB by block")
        where = found.first_wrong or found.noisiest
        kind = "wrong first at" if found.first_wrong else "most noise added at"
        cards.append(
            f'<div class="card"><h3>{_text(artefact.path.name)}</h3>{drawn}'
            f'<p class="soft">{kind} {_text(where)}</p></div>'
        )
    return (
        f'<p class="soft">Signal to noise in dB after {names[0]} and after each '
        f"attention and MLP up to {names[-1]}, against the Keras model.</p>"
        f'<div class="grid two">{"".join(cards)}</div>'
    )


def _artefacts(report):
    heads = ("File", *HEADS, *report.processors)
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    biggest = max((a.size_bytes for a in report.artefacts), default=1)
    rows = [
        _base_row(report),
        *(_row(a, biggest, report.processors) for a in report.artefacts),
    ]
    why = "".join(
        f'<p class="why">{_text(a.path.name)}: {_text("; ".join(a.reasons))}</p>'
        for a in report.artefacts
        if not a.passed
    ) + "".join(
        f'<p class="why">{_text(name)} could not be made: {_text(why)}</p>'
        for name, why in report.failures.items()
    )
    images = report.artefacts[0].images if report.artefacts else 0
    return (
        f'<div class="card files"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{why}"
        f'<p class="soft" style="margin-top:12px">Compared with the Keras model on '
        f"{images} images. Difference: the largest of any output value. Noise: signal "
        "to noise of the outputs. Agreement: images where both choose the same class. "
        "Time: processor time for one image against Keras, medians of interleaved "
        f"runs. {_elsewhere(report)}</p>"
    )


def _elsewhere(report):
    """What the columns of other processors say, and which there are not."""
    rest = _text(report.elsewhere).capitalize()
    if not report.processors:
        return f"{rest}."
    return (
        "Other processors: images with the same class as on this machine, of the "
        f"first ones. {rest}."
    )


def _cells(values):
    pairs = zip(HEADS, values, strict=True)
    return "".join(
        f'<td data-label="{head}">{value}</td>' if head else f"<td>{value}</td>"
        for head, value in pairs
    )


def _base_row(report):
    first = report.artefacts[0] if report.artefacts else None
    top1 = _percent(first.top1_keras) if first else ""
    time = f"{_milliseconds(first.milliseconds_keras)}" if first else ""
    size = _megabytes(4 * report.model["parameters"])
    cells = _cells((size, "", "", top1, "", time, ""))
    cells += "<td></td>" * len(report.processors)
    return (
        f'<tr class="base"><th scope="row">Keras<small>float32, the reference</small>'
        f"</th>{cells}</tr>"
    )


def _row(artefact, biggest, processors):
    share = max(2, round(72 * artefact.size_bytes / biggest))
    size = (
        f'{_megabytes(artefact.size_bytes)}<i class="size" style="width:{share}px"></i>'
    )
    noise = artefact.signal_to_noise_db
    cells = _cells(
        (
            size,
            _difference(artefact.largest_difference),
            f"{noise:.0f} dB" if math.isfinite(noise) else "",
            _percent(artefact.top1),
            _percent(artefact.agreement),
            f"{artefact.time_ratio:.2f}×",
            _pill(_verdict(artefact), artefact.passed and not artefact.lost),
        )
    )
    cells += "".join(
        f'<td data-label="{_text(name)}">{_text(cell(artefact.processors, name))}</td>'
        for name in processors
    )
    kinds = {"savedmodel": "SavedModel", "tflite": "TFLite", "onnx": "ONNX"}
    kind = f"{kinds[artefact.format]}, {artefact.precision}"
    return (
        f'<tr><th scope="row">{_text(artefact.path.name)}<small>{kind}</small></th>'
        f"{cells}</tr>"
    )


def _verdict(artefact):
    if not artefact.passed:
        return "failed"
    return "in part" if artefact.lost else "verified"


def _difference(value):
    if value == 0:
        return "none"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def _percent(value):
    return "" if value is None else f"{value:.2f}%"


def _megabytes(count):
    return f"{count / 1e6:.2f} MB" if count < 1e8 else f"{count / 1e6:.0f} MB"


def _milliseconds(value):
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _curves(history):
    cards = []
    for title, series in curves_of.panels(history).items():
        drawn = svg.curves(series, f"{title} over epochs")
        legend = "".join(
            f'<i class="s{index}"></i>{_text(name)}'
            for index, name in enumerate(series)
        )
        name = title.replace("_", " ").capitalize()
        if drawn:
            cards.append(
                f'<div class="card"><span class="legend">{legend}</span>'
                f"<h3>{_text(name)}</h3>{drawn}</div>"
            )
    return f'<div class="grid two">{"".join(cards)}</div>' if cards else ""


def _gallery(report):
    if not report.pictures:
        return ""
    cards = "".join(_card(picture, report) for picture in report.pictures)
    seen = any(picture.attention for picture in report.pictures)
    text = (
        "With each image: what the model looked at in its last step, bright for much."
        if seen
        else ""
    )
    return f'<p class="soft">{text}</p><div class="gallery">{cards}</div>'


def _card(picture, report):
    height, width = report.model["input"][:2]
    kind = ' class="pixels"' if height * width <= 64 * 64 else ""
    images = f'<img{kind} src="{picture.image}" alt="test image">'
    if picture.attention:
        images += f'<img src="{picture.attention}" alt="attention">'
    shape = f'style="--shape:{width}/{height}"'
    return (
        f'<figure class="card{" bad" if picture.wrong else ""}">'
        f'<div class="pair" {shape}>{images}</div>{_caption(picture, report.labels)}'
        "</figure>"
    )


def _caption(picture, labels):
    if picture.chosen is None:
        return ""

    def name(index):
        return _text(labels[index] if labels else f"class {index}")

    true = ""
    if picture.true is not None:
        kind = "true" if picture.wrong else "true soft"
        true = f'<span class="{kind}">is {name(picture.true)}</span>'
    percent = f"{100 * picture.share:.0f}%"
    return (
        f'<figcaption><span class="soft">{percent}</span><b>{name(picture.chosen)}</b>'
        f'{true}<span class="share"><i style="width:{percent}"></i></span></figcaption>'
    )


def _facts(report):
    blocks = (
        ("Model", report.model),
        ("Machine", report.machine),
        ("Versions", report.versions),
    )
    cards = [
        f'<div class="card"><h3>{title}</h3><dl>{_rows(facts)}</dl></div>'
        for title, facts in blocks
    ]
    return f'<div class="grid three">{"".join(cards)}</div>'


def _rows(facts):
    return "".join(
        f"<dt>{_text(name.replace('_', ' '))}</dt><dd>{_text(_shown(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )


def _shown(value):
    if isinstance(value, int) and value > 9999:
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))
    return value


def _snippets(report):
    parts = [
        ("Read an image", snippets.load_image(report.contract, report.preprocessing))
    ]
    output = report.contract.outputs[0].name
    for artefact in report.artefacts:
        if artefact.passed:
            code = snippets.run_file(artefact, output)
            parts.append((artefact.path.name, code))
    body = "".join(
        f"<div><h3>{_text(name)}</h3><pre><code>{_text(code)}</code></pre></div>"
        for name, code in parts
    )
    return f'<div class="card steps">{body}</div>'
