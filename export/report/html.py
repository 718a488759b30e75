"""The report as one self-contained HTML file."""

import html

from keras_vit.export.apps import snippets
from keras_vit.export.processors.trial import cell
from keras_vit.export.report import html_gallery, html_pictures
from keras_vit.export.report.advice import reference_of
from keras_vit.export.report.css import CSS
from keras_vit.export.report.export_report import FOR_AN_APP
from keras_vit.intervals import shown

HEADS = (
    "Size",
    "Difference",
    "Noise",
    None,  # the score of the task
    "Against Keras",
    "Agreement",
    "Time",
    "",
)
SCORE = ' class="score"'


def render(report):
    """Render the page.

    Args:
        report: `keras_vit.export.ExportReport`.

    Returns:
        HTML text.
    """
    sections = (
        _header(report),
        _ship(report),
        _section(FOR_AN_APP.capitalize(), _app(report)),
        _section("Size, time and accuracy", html_pictures.all_files(report.artefacts)),
        _section("Files", _artefacts(report)),
        _section("Noise, block by block", html_pictures.layers(report.artefacts)),
        _section("Training", html_pictures.training(report)),
        _section("Test images", html_gallery.gallery(report)),
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
    """The section on which file to ship, before anything else."""
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
        f"{_text(first.use)}: {report.verb(first.artefact)}</p>"
        f"<h2>{_text(first.artefact.path.name)}</h2>"
        f"{_caution(first)}</div>{_tiles(first.artefact, reference)}</section>"
        + (f'<section class="uses">{rows}</section>' if others else "")
    )


def _app(report):
    command = _text(report.app_command)
    return command and f"<pre><code>{command}</code></pre>"


def _caution(advice):
    if not advice.caution:
        return ""
    return f'<span class="caution">{_text(advice.caution)}</span>'


def _tiles(artefact, reference):
    """Three headline numbers: compression, speed-up, top-1."""
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
        words = f"{artefact.score} ({shown(artefact.top1_interval)})"
        tiles.append((_percent(artefact.top1), f"{words}, {_against(artefact)}"))
    elif artefact.agreement is not None:
        tiles.append((_percent(artefact.agreement), "same choice as Keras"))
    cells = "".join(f"<div><b>{a}</b><span>{b}</span></div>" for a, b in tiles)
    return f'<div class="tiles">{cells}</div>'


def _against(artefact):
    return _text(artefact.change.against("Keras"))


def _artefacts(report):
    heads = ("File", *_heads(report.score), *report.processors)
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
        f'<p class="soft below">Compared with the Keras model on '
        f"{images} images. Difference: the largest of any output value. Noise: signal "
        f"to noise of the outputs. {_text(_titled(report.score))}: in small figures "
        f"where it lies with 95% certainty. {_top1_heading(report)}Agreement: images "
        "where both choose the same class. Time: processor time for one image against "
        f"Keras, medians of interleaved runs. {_elsewhere(report)}</p>"
    )


def _top1_heading(report):
    """Heading of the column beside top-1."""
    known = [a.change for a in report.artefacts if a.change is not None]
    if not known:
        return ""
    return (
        f"Against Keras: points of {_text(report.score)} gained; none shown: no "
        f"difference that {known[0].images} {known[0].unit}s can show. "
    )


def _elsewhere(report):
    """Footnote on the columns of other processors."""
    rest = _text(report.elsewhere).capitalize()
    if not report.processors:
        return f"{rest}."
    return (
        "Other processors: images with the same class as on this machine, of the "
        f"first ones. {rest}."
    )


def _titled(score):
    return score[:1].upper() + score[1:]


def _heads(score):
    return [_titled(score) if head is None else head for head in HEADS]


def _cells(values, score):
    heads = zip(HEADS, _heads(score), strict=True)
    pairs = zip(heads, values, strict=True)
    return "".join(
        f'<td data-label="{_text(head)}"{"" if known is not None else SCORE}>'
        f"{_spanned(value)}</td>"
        if head
        else f"<td>{value}</td>"
        for (known, head), value in pairs
    )


def _spanned(value):
    """Wrap two lines of a cell for narrow screens; "" stays ""."""
    return f"<span>{value}</span>" if "<small>" in value else value


def _base_row(report):
    first = report.artefacts[0] if report.artefacts else None
    top1 = _scored(first.top1_keras, first.top1_keras_interval) if first else ""
    time = f"{_milliseconds(first.milliseconds_keras)}" if first else ""
    size = _megabytes(4 * report.model["parameters"])
    cells = _cells((size, "", "", top1, "", "", time, ""), report.score)
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
    cells = _cells(
        (
            size,
            _difference(artefact.largest_difference),
            artefact.noise_text,
            _scored(artefact.top1, artefact.top1_interval),
            _change(artefact.change),
            _percent(artefact.agreement),
            f"{artefact.time_ratio:.2f}×",
            _pill(_verdict(artefact), artefact.passed and not artefact.lost),
        ),
        artefact.score,
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
        return "identical"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def _percent(value):
    return "" if value is None else f"{value:.2f}%"


def _scored(value, interval):
    return f"{_percent(value)}<small>{shown(interval)}</small>" if interval else ""


def _change(change):
    """Points of top-1 gained, and below them how many predictions flipped."""
    if change is None:
        return ""
    if not change.changed:
        return change.brief
    flips = f"{change.better} better, {change.worse} worse"
    return f"{change.brief}<small>{flips}</small>"


def _megabytes(count):
    return f"{count / 1e6:.2f} MB" if count < 1e8 else f"{count / 1e6:.0f} MB"


def _milliseconds(value):
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


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
