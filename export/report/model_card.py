"""The model card: what the files are, where they come from, what they score."""

import json

from keras_vit.export.processors.trial import cell
from keras_vit.export.report.advice import lost
from keras_vit.export.report.pareto import label_of
from keras_vit.models.input_range import UNKNOWN

FRONT = """\
---
library_name: keras
pipeline_tag: image-classification
tags: [keras_vit, vision-transformer{formats}]
---
"""


def render(report):
    """Write the card.

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
    return "\n".join(lines) or "No file passed."


def _files(report):
    heads = ("file", "recipe", "MB", "top-1 %", "points lost", "agreement %", "dB")
    heads = (*heads, "ms", *report.processors)
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for a in report.artefacts:
        cells = (
            f"`{a.path.name}`" + ("" if a.passed else " (failed, not kept)"),
            label_of(a),
            f"{a.size_bytes / 1e6:.2f}",
            "" if a.top1 is None else f"{a.top1:.2f}",
            "" if lost(a) is None else f"{lost(a) + 0.0:.2f}",
            "" if a.agreement is None else f"{a.agreement:.2f}",
            f"{min(a.signal_to_noise_db, 999):.1f}",
            f"{a.milliseconds:.1f}",
            *(cell(a.processors, name) for name in report.processors),
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        f"| `{name}` | could not be made: {why} |" + " |" * (len(heads) - 2)
        for name, why in report.failures.items()
    ]
    return "\n".join(lines)


def _measured(report):
    used, first = report.validation, report.artefacts[0] if report.artefacts else None
    if first is None:
        return ""
    keras = "" if first.top1_keras is None else f" Keras: {first.top1_keras:.2f}%."
    return (
        f"Measured on {used['images']} validation images against the Keras model in "
        f"float32.{keras} ms: processor time for one image, one thread, median of "
        "interleaved runs, on the machine below. dB: signal-to-noise ratio of the "
        f"outputs. Other processors: {report.elsewhere}."
        + "".join(f" {note}." for note in used["notes"])
    )


def _faces(report):
    note, contract = report.preprocessing, report.contract
    lines = [f"- input `{contract.image}`"]
    lines += [f"- output `{tensor}`" for tensor in contract.outputs]
    if note is not None:
        found = f" ({contract.found})" if contract.found else ""
        lines.append(f"- preprocessing: `{json.dumps(note.get_config())}`{found}")
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
