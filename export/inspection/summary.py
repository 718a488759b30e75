"""Summary of a file's inspection: compute, dtypes, delegates, in words and numbers."""

from keras_vit.export.formats.onnx import serialization
from keras_vit.export.formats.onnx.saturation import saturating_weights
from keras_vit.export.inspection import anatomy as facts
from keras_vit.export.inspection import blocks, delegates, onnx, tflite
from keras_vit.export.runtime.differences import decibels

NAMES = {
    "gpu": "GPU delegate",
    "npu": "NPU (Ethos-U65)",
    "microcontroller": "microcontroller (tflite-micro)",
}
KINDS = ("tflite", "onnx")


def inspect(path, file_format, verbose=0):
    """Inspect a file: operators, dtypes, sizes, delegates.

    Args:
        path: of the file. file_format: its format.
        verbose: 1 shows the progress of tools.

    Returns:
        None for a SavedModel, else a dict of plain values: "compute": shares of the
        multiplications (see `anatomy.compute_shares`); "dtypes": what every kind of
        operator computes with; "highest_rank": (rank, operator); "weight_bytes": by
        part of the model; for `.tflite` files "gpu", "npu" and "microcontroller": what
        `delegates` says; for `.onnx` files of 8 bits "saturating": weights that x86
        without VNNI may multiply wrongly, see `saturation`.
    """
    if file_format not in KINDS:
        return None
    outline = serialization.outline(path) if file_format == "onnx" else None
    anatomy = onnx.anatomy_of(outline) if outline else tflite.read(path)
    summary = {
        "compute": facts.compute_shares(anatomy),
        "dtypes": facts.dtype_table(anatomy),
        "highest_rank": facts.highest_rank(anatomy),
        "weight_bytes": facts.weight_bytes(anatomy, blocks.parts(anatomy)),
    }
    if file_format == "onnx" and summary["compute"]["float"] < 1.0:
        summary["saturating"] = saturating_weights(
            serialization.completed(outline, path)
        )
    if file_format == "tflite":
        for target in delegates.RULES:
            summary[target] = delegates.refusals(anatomy, target)
            if summary["compute"]["integer"] == 1.0:
                summary[target] = delegates.tool_refusals(
                    path, target, summary[target], verbose
                )
    return summary


def describe(verification):
    """Describe a `Verification` in several lines, with its inspection.

    Args:
        verification: `keras_vit.export.Verification`.

    Returns:
        Text.
    """
    lines = [str(verification)]
    if verification.top5 is not None:
        lines.append(
            f"top-5 {verification.top5:.2f}% (Keras {verification.top5_keras:.2f}%)"
        )
    lines += _per_output(verification.outputs_db)
    lines += [str(trial) for trial in verification.processors.values()]
    lines += [
        f"{row['count']} x {row['keras']} in Keras, {row['file']} in the file"
        for row in verification.confusions[:5]
    ]
    if verification.inspection:
        lines += _inspected(verification.inspection)
    if verification.half:
        lines.append(_half(verification.half))
    if verification.layers:
        lines.append(str(verification.layers))
    return "\n".join(lines)


def _per_output(summary):
    if len(summary) < 2:
        return []
    shown = [
        f"{name} {'identical' if value is None else decibels(value)}"
        for name, value in summary.items()
    ]
    return [", ".join(shown)]


def _inspected(summary):
    shares, (rank, operator) = summary["compute"], summary["highest_rank"]
    lines = [
        f"compute: {shares['integer']:.1%} integer, {shares['dynamic']:.1%} integer "
        f"weights with inputs quantized on the fly, {shares['float']:.1%} float, of "
        f"{shares['macs'] / 1e6:,.0f} M multiplications",
        f"highest rank: {rank} at {operator}",
        "weights: " + _weights(summary["weight_bytes"]),
    ]
    for target in delegates.RULES:
        if target in summary:
            lines.append(_delegated(target, summary[target]))
    if "saturating" in summary:
        lines.append(_saturating(summary["saturating"]))
    lines.append("operators:")
    lines += [
        f"  {name}: " + ", ".join(f"{n} x {kind}" for kind, n in counts.items())
        for name, counts in summary["dtypes"].items()
    ]
    return lines


def _saturating(names):
    """Whether 8-bit products saturate on some processors."""
    if not names:
        return "every processor: no pair of 8-bit products can leave 16 bits"
    return (
        f"x86 without VNNI: pairs of 8-bit products may leave 16 bits in {len(names)} "
        f"weights, such as {names[0]}; other processors are not concerned"
    )


def _weights(parts):
    """Bytes of weights per part, both halves of a block together."""
    sums = {}
    for name, count in parts.items():
        name = name.partition(".")[0]
        sums[name] = sums.get(name, 0) + count
    return ", ".join(f"{name} {count / 1e6:.2f} MB" for name, count in sums.items())


def _delegated(target, summary):
    name, source = NAMES[target], summary.get("source")
    by = f", says {source}" if source else ", by its rules"
    if not summary["refused"]:
        return f"{name}: takes every operator{by}"
    return (
        f"{name}: takes {summary['operators']:.0%} of the operators, "
        f"{summary['macs']:.0%} of the compute{by}; refused: "
        + "; ".join(summary["refused"][:6])
    )


def _half(summary):
    verdict = "fits" if summary["fits"] else "DOES NOT FIT"
    return (
        f"16-bit floats: {verdict}, largest activation {summary['largest']:.4g} of "
        f"65504, at {summary['operator']}"
    )
