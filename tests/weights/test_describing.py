"""A file is described without Keras, which takes seconds to import."""

import ast
import pathlib

import keras_vit
from keras_vit.weights import describing

ROOM = pathlib.Path(describing.__file__).parent
PACKAGE = ROOM.parent


def imported(path):
    """Modules that a file imports when it is loaded itself, by their full names."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_describing_needs_no_keras():
    """Whatever it imports, and what these import, is free of Keras."""
    seen, left = set(), [pathlib.Path(describing.__file__)]
    while left:
        path = left.pop()
        for name in imported(path):
            assert name.partition(".")[0] not in ("keras", "tensorflow"), (path, name)
            parts = name.split(".")[1:]
            file = PACKAGE.joinpath(*parts).with_suffix(".py")
            if name.startswith("keras_vit.") and file.is_file() and file not in seen:
                seen.add(file)
                left.append(file)

    assert {ROOM / "timm.py", ROOM / "bit.py", ROOM / "google.py"} < seen
    assert keras_vit.weights.describe is describing.describe
