"""Private names of Keras and TensorFlow stand in one file each."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOMES = (
    ROOT / "keras_vit/private_keras.py",
    ROOT / "training/engine/private_tensorflow.py",
)
# Tests may look inside.
FOLDERS = ("keras_vit", "training", "export", "benchmarks", "docs")
PACKAGES = ("keras.src", "tensorflow.python")
# Of Python itself: named tuples, argparse.
PYTHON = {"_replace", "_asdict", "_fields", "_make", "_actions"}
# Memories of our optimisers, which `_Rule.build` makes from their `slots`.
SLOTS = {"_first", "_second", "_m", "_velocity"}


def is_private(name):
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def used(tree):
    """(line, private name) of every attribute, as such or in a `getattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "setattr", "hasattr", "delattr"):
                name = getattr(node.args[1], "value", None)
                if isinstance(name, str) and is_private(name):
                    yield node.lineno, name


def overridden(tree):
    """(line, private name) of every method."""
    for node in ast.walk(tree):
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and is_private(part.name):
                yield part.lineno, part.name


def imported(tree):
    """(line, module) of every import of a private package."""
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if f"{name}.".startswith(tuple(f"{p}." for p in PACKAGES)):
                yield node.lineno, name


@functools.cache
def trees():
    """Path -> parsed file, of all but the homes of private names."""
    paths = [p for f in FOLDERS for p in sorted((ROOT / f).rglob("*.py"))]
    return {p: ast.parse(p.read_text()) for p in paths if p not in HOMES}


def ours(all_trees):
    """Private names that the product defines: attributes that are set, and methods."""
    found = {name for tree in all_trees for _, name in overridden(tree)}
    for node in (node for tree in all_trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef):  # of a module
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = getattr(node, "targets", None) or [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found


@functools.cache
def theirs():
    """Private names that the two homes use."""
    homes = [ast.parse(path.read_text()) for path in HOMES]
    return {n for tree in homes for _, n in (*used(tree), *overridden(tree))}


def wrong(tree, own):
    """(line, name) of what belongs into one of the two homes."""
    yield from imported(tree)
    for line, name in used(tree):
        if name in theirs() or name not in own | PYTHON | SLOTS:
            yield line, name
    yield from (pair for pair in overridden(tree) if pair[1] in theirs())


def test_private_names_stand_in_one_file_each():
    """Of Keras in keras_vit/private_keras.py, so that an update breaks one file."""
    own = ours(trees().values())
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path, tree in trees().items()
        for line, name in wrong(tree, own)
    ]

    assert [] == found


@pytest.mark.parametrize(
    "text",
    [
        "from keras.src.utils import io_utils",
        "import tensorflow.python.eager",
        "layer._flatten_layers()",
        "self._loss_tracker.reset_state()",
        "layer._dtype_policy",
        "getattr(model, '_functional', model)",
        "optimizer._learning_rate = 1",
        "class A:\n def _make_function(self, step): pass",
    ],
)
def test_a_private_name_is_seen(text):
    """The check above would notice."""
    assert [] != list(wrong(ast.parse(text), {"_mine"}))


@pytest.mark.parametrize(
    "text", ["import keras.srcs", "self._mine", "row._replace(a=1)", "a.__dict__"]
)
def test_names_of_our_own_are_free(text):
    """Public names, our private ones, and those of Python."""
    assert [] == list(wrong(ast.parse(text), {"_mine"}))
