"""Functions that fit a screen, files that fit a sitting, docstrings that run."""

import ast
import doctest
import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("keras_vit", "training", "export", "tests", "benchmarks")
LONGEST_FUNCTION = 60
LONGEST_FILE = 400


def python_files():
    """Every Python file of the repository's own folders."""
    return [path for f in FOLDERS for path in sorted((ROOT / f).rglob("*.py"))]


def modules():
    """Dotted names of the product's modules, by their real names."""
    for path in python_files():
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in ("tests", "benchmarks") or parts[-1] == "__main__":
            continue
        parts = parts if parts[0] == "keras_vit" else ("keras_vit", *parts)
        yield ".".join(parts).removesuffix(".__init__")


def long_functions(text):
    """(name, lines) of functions above the limit."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds):
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield node.name, lines


def test_no_function_is_longer_than_a_screen():
    """60 lines at the very most, docstring included."""
    found = [
        (p.name, *f) for p in python_files() for f in long_functions(p.read_text())
    ]

    assert [] == found


def test_a_long_function_is_seen():
    """The check above would notice."""
    body = "\n".join("    x = 1" for _ in range(60))

    assert [("f", 61)] == list(long_functions(f"def f():\n{body}\n"))


def test_no_file_is_longer_than_a_sitting():
    """400 lines at most."""
    lengths = {p.name: p.read_text().count("\n") for p in python_files()}

    assert {} == {name: n for name, n in lengths.items() if n > LONGEST_FILE}


@pytest.mark.parametrize("name", sorted(set(modules())))
def test_doctests(name):
    """Every example in a docstring gives what it shows."""
    result = doctest.testmod(importlib.import_module(name))

    assert 0 == result.failed
