"""Table of the files that `keras-vit export` wrote to a folder."""

from keras_vit.cli.table import table


def summary(report):
    """Table of artefacts for the terminal; `export_all` printed the rest."""
    from keras_vit.export.processors.trial import cell

    head = ["file", "MB", "largest difference", f"{report.score} %", "against Keras"]
    head += ["time", *report.processors, "proof"]
    rows = [
        [
            artefact.path.name,
            f"{artefact.size_bytes / 1e6:.2f}",
            "identical" if artefact.identical else f"{artefact.largest_difference:.1e}",
            _share(artefact.top1, artefact.top1_interval),
            "" if artefact.change is None else artefact.change.brief,
            f"{artefact.time_ratio:.2f}x",
            *(cell(artefact.processors, name) for name in report.processors),
            artefact.verdict,
        ]
        for artefact in report.artefacts
    ]
    lines = [table(rows, head), *_keras(report), report.elsewhere]
    return "\n".join(lines)


def _share(value, interval):
    """Format a percentage with its interval for a cell."""
    from keras_vit.intervals import shown

    return "" if value is None else f"{value:.2f} ({shown(interval)})"


def _keras(report):
    """The line on Keras' top-1 below the table, or none."""
    known = [a for a in report.artefacts if a.change is not None]
    if not known:
        return []
    top1 = _share(known[0].top1_keras, known[0].top1_keras_interval)
    return [
        f"Keras: {report.score} % {top1}; none shown: no difference that "
        f"{known[0].change.images} {known[0].change.unit}s can show"
    ]
