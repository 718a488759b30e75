"""Doors open one way: what may import what."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("layers", "models", "introspect", "weights", "cli", "training", "export")
# room -> rooms it may import from; files beside the rooms are open to all.
DOORS = {
    "layers": {"layers"},
    "models": {"layers", "models", "weights"},
    "introspect": {"layers", "models", "introspect"},
    "weights": {"layers", "models", "weights"},
    "training": {"layers", "models", "weights", "introspect", "training"},
    "export": {"layers", "models", "weights", "introspect", "export"},
    "cli": set(ROOMS),
    "top": {"layers", "models", "weights", "introspect"},
}
# library -> where it may be imported
ONLY = {
    # Photos are turned the same way in pipelines and in served models.
    "tensorflow": ("training/", "export/", "keras_vit/orientation.py"),
    "tensorflow_datasets": ("training/data/",),
    "keras_cv": ("training/data/",),
    "sklearn": (
        "training/data/",
        "training/evaluate/",
        "keras_vit/models/palette.py",
    ),
    "tf2onnx": ("export/",),
    "onnx": ("export/",),
    "onnxruntime": ("export/",),
    "ai_edge_litert": ("export/",),
    "ai_edge_quantizer": ("export/",),
    "jax": (),
    "torch": ("export/conversion/litert_torch_worker.py",),
    "pickle": ("keras_vit/weights/",),
}


def sources():
    """Every module of the product."""
    folders = ("keras_vit", "training", "export")
    return [path for f in folders for path in sorted((ROOT / f).rglob("*.py"))]


def room_of(path):
    """The room a file stands in."""
    parts = path.relative_to(ROOT).parts
    if parts[0] != "keras_vit":
        return parts[0]
    if parts[-1] == "__main__.py":
        return "cli"
    return parts[1] if len(parts) > 2 else "top"


@functools.cache
def imported(path):
    """(line, dotted name) of each import, wherever it stands in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name) for name in names]
    return found


def wrong_doors(path, room):
    """Imports that go through a door that is not there."""
    for line, name in imported(path):
        parts = name.split(".")
        target = parts[1] if parts[0] == "keras_vit" and len(parts) > 1 else None
        if target in ROOMS and target not in DOORS[room]:
            yield f"{path.name}:{line} ({room}) imports {name}"


def test_rooms_import_only_through_their_doors():
    """No room knows a room that is built on top of it."""
    wrong = [text for path in sources() for text in wrong_doors(path, room_of(path))]

    assert [] == wrong


def test_a_wrong_door_is_seen(tmp_path):
    """The check above would notice."""
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from keras_vit.training import loop\n")

    assert ["bad.py:2 (export) imports keras_vit.training.loop"] == list(
        wrong_doors(bad, "export")
    )
    assert [] == list(wrong_doors(bad, "training"))


@pytest.mark.parametrize("library", ONLY)
def test_libraries_stay_in_their_room(library):
    """Heavy and foreign libraries are imported only where they belong."""
    allowed = ONLY[library]
    wrong = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if allowed and name.startswith(allowed):
            continue
        used = [line for line, n in imported(path) if n.split(".")[0] == library]
        wrong += [f"{name}:{line}" for line in used]

    assert [] == wrong


def test_training_and_export_are_imported_by_their_full_name():
    """`import training` would make second copies of every class."""
    wrong = []
    for path in [*sources(), *sorted((ROOT / "tests").rglob("*.py"))]:
        names = [name.split(".")[0] for _, name in imported(path)]
        wrong += [f"{path}: {n}" for n in names if n in ("training", "export")]

    assert [] == wrong


def test_no_room_for_odds_and_ends():
    """A file that is named after nothing holds everything."""
    names = {"utils.py", "common.py", "helpers.py", "misc.py"}

    assert [] == [str(p) for p in sources() if p.name in names]
