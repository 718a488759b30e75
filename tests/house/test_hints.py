"""Public functions are seen by editors and type checkers; `make types` runs mypy."""

import ast
import dataclasses
import importlib
import inspect
import pathlib
import typing

import pytest

import keras_vit
from keras_vit import variants
from keras_vit.export.io import signature
from keras_vit.models import named

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = (
    "keras_vit",
    "keras_vit.export",
    "keras_vit.export.quantization",
    "keras_vit.introspect",
    "keras_vit.layers",
    "keras_vit.models",
    "keras_vit.training",
    "keras_vit.training.evaluate",
    "keras_vit.weights",
)


def functions(thing):
    """(name, function) of a public function, or of the methods that a class defines."""
    if inspect.isfunction(thing):
        yield thing.__name__, inspect.unwrap(thing)
    if not inspect.isclass(thing):
        return
    for kind in thing.__mro__:
        for name, part in vars(kind).items():
            part = part.fget if isinstance(part, property) else part
            part = inspect.unwrap(getattr(part, "__func__", part))
            if inspect.isfunction(part) and _is_ours(name, part):
                yield f"{kind.__name__}.{name}", part


def _is_ours(name, function):
    """Whether we wrote a public method; dataclasses write theirs themselves."""
    public = not name.startswith("_") or name in ("__init__", "__call__")
    file = function.__code__.co_filename
    return public and function.__module__.startswith("keras_vit") and file[0] != "<"


def lacking(function):
    """Names of arguments without a hint, and "return"."""
    code = function.__code__
    varied = bool(code.co_flags & inspect.CO_VARARGS)
    varied += bool(code.co_flags & inspect.CO_VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount + varied
    names = {*code.co_varnames[:count], "return"} - {"self", "cls"}
    return sorted(names - function.__annotations__.keys())


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_hints(room):
    """Arguments and results, of public methods too."""
    module = importlib.import_module(room)
    found = {
        name: lacking(function)
        for public in module.__all__
        for name, function in functions(getattr(module, public))
    }

    assert {} == {name: names for name, names in found.items() if names}


def test_a_missing_hint_is_seen():
    """The check above would notice."""

    class Some:
        def method(self, x: int, *rest, y=1, **options) -> None:
            pass

    assert ["options", "rest", "y"] == lacking(Some.method)
    assert ["return"] == lacking(lambda: None)


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_written_out(room):
    """`__all__` is a list of texts, which checkers can read."""
    path = pathlib.Path(importlib.import_module(room).__file__)
    lists = [
        node.value.elts
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    ]

    assert lists and all(isinstance(item, ast.Constant) for item in lists[0])


def test_named_models_are_the_rows_of_the_table():
    """In the file that makes them, in `__all__`, and among the imports of checkers."""
    tree = ast.parse(inspect.getsource(named))
    made = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]
    init = ast.parse(inspect.getsource(keras_vit))
    (seen,) = (
        [alias.name for alias in node.names]
        for node in ast.walk(init)
        if isinstance(node, ast.ImportFrom) and node.module == "keras_vit.models.named"
    )

    assert list(variants.FUNCTIONS) == [n for n in made if n in variants.FUNCTIONS]
    assert set(variants.FUNCTIONS) <= set(keras_vit.__all__)
    assert {"create", *variants.FUNCTIONS} == set(seen)
    assert all(n == getattr(named, n).__name__ for n in variants.FUNCTIONS)


def test_named_models_say_what_they_take():
    """`help` shows names, types and defaults; so does the type that editors see."""
    shown = inspect.signature(keras_vit.ViT_B16)
    promised = inspect.signature(named.NamedModel.__call__)

    assert "classes: int | None = None" in str(shown)
    assert "ViT_B16" == shown.parameters["name"].default
    assert list(shown.parameters) == list(promised.parameters)[1:]
    assert "ViT of size B with 16 px patches" in keras_vit.ViT_B16.__doc__


def test_options_are_the_fields_of_a_signature():
    """`to_tflite(top=5)`: what checkers know is what there is."""
    fields = {f.name: f.type for f in dataclasses.fields(signature.Signature)}

    assert fields == typing.get_type_hints(signature.SignatureOptions)


def test_hints_are_installed():
    """`py.typed` lies in the package, and goes into the wheel."""
    assert (ROOT / "keras_vit" / "py.typed").is_file()
    assert "\nkeras_vit = py.typed\n" in (ROOT / "setup.cfg").read_text()
