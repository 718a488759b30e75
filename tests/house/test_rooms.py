"""Doors open one way: what may import what."""

import ast
import functools
import pathlib
import re

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


def module_of(path):
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "keras_vit" else ("keras_vit", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports():
    """{module: modules of the product that it imports}, wherever in the file."""
    modules = {module_of(path): path for path in sources()}
    graph = {}
    for module, path in modules.items():
        names = [name for _, name in imported(path)]
        near = {n if n in modules else n.rpartition(".")[0] for n in names}
        graph[module] = (near & modules.keys()) - {module}
    return graph


def circles(graph):
    """Modules that are left when those without a way back are taken away."""
    graph = dict(graph)
    while True:
        ends = [m for m, targets in graph.items() if not targets & graph.keys()]
        if not ends:
            return sorted(graph)
        for module in ends:
            del graph[module]


def test_no_import_leads_in_a_circle():
    """Nor through a function: whoever reads a file has read what it needs."""
    assert [] == circles(imports())
    assert ["a", "b"] == circles({"a": {"b"}, "b": {"a"}, "c": set()})


def written_doors():
    """{room: rooms it may import}, of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ((?:training|export)/\w+) \| ([\w, ]*)\|$", text, re.M)
    return {
        room: {f"{room.split('/')[0]}/{name}" for name in re.findall(r"\w+", names)}
        for room, names in rows
    }


def inner_room(module):
    """ "export/io" of keras_vit.export.io.x; None of files beside the rooms."""
    parts = module.split(".")[1:3]
    room = "/".join(parts)
    inside = len(parts) == 2 and parts[0] in ("training", "export")
    return room if inside and (ROOT / room).is_dir() else None


def test_doors_between_inner_rooms_are_those_of_the_page():
    """Each room of training/ and export/ has a row, and imports only what it says."""
    doors, wrong = written_doors(), []
    for module, targets in imports().items():
        room = inner_room(module)
        allowed = doors.get(room, set()) | {room}
        for target in targets:
            if room and target.startswith(("keras_vit.training.", "keras_vit.export.")):
                if inner_room(target) not in allowed:
                    wrong.append(f"{module} imports {target}")
    rooms = {inner_room(module) for module in imports()} - {None}

    assert [] == wrong
    assert rooms == doors.keys()
    assert [] == circles(doors)


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
