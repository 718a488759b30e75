"""List of the processors that files can run on, with what is missing."""

from keras_vit.export.processors import parts, places
from keras_vit.export.processors.native import native
from keras_vit.export.processors.targets import TARGETS


def survey():
    """List this machine's processor and every row of TARGETS with its state.

    Returns:
        dict of plain values: "native" as `native.native` gives; "processors", a list
        of {"name", "kind", "architecture", "formats", "stands_for", "ready",
        "missing"}, the last a sentence with the way out; "parts", name -> {"state",
        "version"}; "runtimes"; and "folder".
    """
    rows = []
    for target in TARGETS.values():
        missing = parts.obstacle(target)
        rows.append(
            {
                "name": target.name,
                "kind": target.kind,
                "architecture": target.architecture,
                "formats": list(target.formats),
                "stands_for": target.stands_for,
                "ready": not missing,
                "missing": missing,
            }
        )
    return {
        "native": native(),
        "processors": rows,
        "parts": {
            name: {"state": part.state, **_version(name)}
            for name, part in parts.PARTS.items()
        },
        "runtimes": parts.runtimes(),
        "folder": str(places.folder()),
    }


def _version(name):
    note = places.note_of(name) or {}
    told = note.get("version") or note.get("runs")
    return {"version": told} if told else {}
