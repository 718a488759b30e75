"""The cache folder of installed parts; each part appears complete or not at all."""

import json
import shutil

from keras_vit import files
from keras_vit.weights.fetch import cache_folder, locked

NOTE = "part.json"


def folder():
    """The folder of all parts: `processors` in the package's cache."""
    return cache_folder().absolute() / "processors"


def note_of(name):
    """Read the installation record of a part, or None where it is missing.

    Args:
        name: of the part.
    """
    path = folder() / name / NOTE
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def place(name, build, record):
    """Build a part in a temporary folder, then rename it.

    One process at a time builds; a part that is there is replaced.

    Args:
        name: of the part.
        build: function of the folder to fill; an exception leaves nothing.
        record: dict for JSON, kept with it; what `build` returns is added.

    Returns:
        `pathlib.Path` of the part.

    Raises:
        OSError: when the cache cannot be written.
    """
    target = folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        locked(target.with_name(f".{name}.lock")),
        files.replacing(target, overwrite=True) as staging,
    ):
        staging.mkdir()
        found = build(staging) or {}
        (staging / NOTE).write_text(json.dumps({**record, **found}, indent=2) + "\n")
        shutil.rmtree(folder() / "downloads" / name, ignore_errors=True)
    return target


def downloads(name):
    """The folder of downloads; kept until a part is built."""
    path = folder() / "downloads" / name
    path.mkdir(parents=True, exist_ok=True)
    return path
