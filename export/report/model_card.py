"""The model card: files, provenance, accuracy."""

import json

from keras_vit.export.processors.trial import cell
from keras_vit.export.report.export_report import FOR_AN_APP
from keras_vit.export.report.pareto import label_of
from keras_vit.intervals import shown
from keras_vit.models.input_range import UNKNOWN

FRONT = """\
---
library_name: keras
pipeline_tag: image-classification
tags: [keras_vit, vision-transformer{formats}]
---
"""


def render(report):
    """Render the card.

    Args:
        report: `keras_vit.export.ExportReport`.

    Returns:
        Markdown text.
    """
    kinds = dict.fromkeys(a.format for a in report.artefacts if a.passed)
    parts = (
        FRONT.format(formats="".join(f", {kind}" for kind in kinds)),
        f"# {report.model['name']}",
        _opening(report),
        "## Which file",
        _advice(report),
        "## Files",
        _files(report),
        _measured(report),
        "## Input and output",
        _faces(report),
        "## Provenance",
        _provenance(report),
    )
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _opening(report):
    facts = report.model
    shape = " x ".join(map(str, facts["input"]))
    text = (
        f"{facts['parameters']:,} parameters, images of {shape}, "
        f"{facts['output']} {facts['output_name']}."
    )
    if "blocks" in facts:
        text += (
            f" A Vision Transformer of {facts['blocks']} blocks, width "
            f"{facts['width']}, {facts['heads']} heads, {facts['tokens']} tokens."
        )
    return text


def _advice(report):
    lines = []
    for advice in report.advice:
        line = f"- **{advice.use}:** `{advice.artefact.path.name}`: {advice.why}."
        if advice.caution:
            line += f" Mind: {advice.caution}"
        lines.append(line)
    if report.app_command:
        lines.append(f"\n{FOR_AN_APP.capitalize()}:\n\n    {report.app_command}")
    return "\n".join(lines) or "No file passed."


def _files(report):
    heads = ("file", "recipe", "MB", f"{report.score} %", "against Keras")
    heads = (*heads, "agreement %", "noise", "ms", *report.processors)
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for a in report.artefacts:
        cells = (
            f"`{a.path.name}`" + ("" if a.passed else " (failed, not kept)"),
            label_of(a),
            f"{a.size_bytes / 1e6:.2f}",
            _share(a.top1, a.top1_interval),
            "" if a.change is None else a.change.brief,
            "" if a.agreement is None else f"{a.agreement:.2f}",
            a.noise_text,
            f"{a.milliseconds:.1f}",
            *(cell(a.processors, name) for name in report.processors),
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        f"| `{name}` | could not be made: {why} |" + " |" * (len(heads) - 2)
        for name, why in report.failures.items()
    ]
    return "\n".join(lines)


def _share(value, interval):
    return "" if value is None else f"{value:.2f} ({shown(interval)})"


def _measured(report):
    used, first = report.validation, report.artefacts[0] if report.artefacts else None
    if first is None:
        return ""
    keras = ""
    if first.top1_keras is not None:
        keras = (
            f" Keras: {_share(first.top1_keras, first.top1_keras_interval)}. In "
            f"brackets: where {report.score}, or points gained, lies with 95% "
            "certainty. none "
            f"shown: no difference that {used['images']} images can show."
        )
    return (
        f"Measured on {used['images']} validation images against the Keras model in "
        f"float32.{keras} ms: processor time for one image, one thread, median of "
        "interleaved runs, on the machine below. Noise: signal-to-noise ratio of the "
        f"outputs. Other processors: {report.elsewhere}."
        + "".join(f" {note}." for note in used["notes"])
    )


def _faces(report):
    preprocessing, contract = report.preprocessing, report.contract
    lines = [f"- input `{contract.image}`"]
    lines += [f"- output `{tensor}`" for tensor in contract.outputs]
    if preprocessing is not None:
        found = f" ({contract.found})" if contract.found else ""
        lines.append(
            f"- preprocessing: `{json.dumps(preprocessing.get_config())}`{found}"
        )
    else:
        lines.append(f"- preprocessing: unknown; {UNKNOWN}")
    if report.labels:
        lines.append(f"- {len(report.labels)} class names, in `labels.txt`")
    return "\n".join(lines)


def _provenance(report):
    rows = [
        ("created", report.created),
        ("validation images", _images(report.validation)),
        ("calibration images", _images(report.calibration)),
        *report.machine.items(),
        *report.versions.items(),
    ]
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows if value is not None]
    return "\n".join(lines)


def _images(facts):
    if not facts:
        return None
    if "ranges_of" in facts:
        return f"saved ranges of {facts['ranges_of']}, sha256 `{facts['sha256']}`"
    return f"{facts['images']}, sha256 `{facts['sha256']}` of their float32 values"
