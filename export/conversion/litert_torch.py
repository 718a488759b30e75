"""TFLite conversion through litert-torch: Keras on torch, in a subprocess.

TensorFlow's converter is the first. Both make the same float32 file as far as names,
proof and recipes are concerned, so that either can go.
"""

import contextlib
import contextvars
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import keras_vit
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.conversion import litert_torch_worker
from keras_vit.types import FilePath

_PYTHON = contextvars.ContextVar[str | None]("python of litert-torch", default=None)


@contextlib.contextmanager
def through_litert_torch(python: FilePath | None = None) -> Iterator[None]:
    """Convert with litert-torch instead of TensorFlow inside this block.

    litert-torch pins versions that TensorFlow does not: give it an environment of its
    own, with `pip install litert-torch keras`, and pass the path of its Python.

    Args:
        python: interpreter of an environment that has litert-torch; None for this one.

    Raises:
        FileNotFoundError: when there is no such interpreter.
    """
    python = os.fspath(python or sys.executable)
    if shutil.which(python) is None:
        raise FileNotFoundError(
            f"through_litert_torch: needs an interpreter, got python={python!r}. Make "
            "an environment with litert-torch and pass its bin/python."
        )
    token = _PYTHON.set(python)
    try:
        yield
    finally:
        _PYTHON.reset(token)


def chosen():
    """Whether the enclosing block asks for litert-torch."""
    return _PYTHON.get() is not None


def convert(reference, file):
    """Write a float32 `.tflite` file with litert-torch.

    Args:
        reference: `Reference` with a batch of 1. file: where.

    Raises:
        ValueError: for an open batch.
        ImportError: when the interpreter has no litert-torch.
        UnsupportedLayer: when it does not convert, with its last words.
    """
    if reference.contract.batch is None:
        raise ValueError(
            "dynamic_batch: must be False with litert-torch, got True. Leave it out, "
            "or convert with TensorFlow."
        )
    source = pathlib.Path(file).with_suffix(".torch.keras")
    names = [tensor.name for tensor in reference.contract.outputs]
    try:
        reference.model.save(source)
        result = subprocess.run(
            # -P: modules beside the script must not hide packages of their name.
            [_PYTHON.get(), "-P", litert_torch_worker.__file__, source, file, *names],
            env=_environment(),
            capture_output=True,
            text=True,
            errors="replace",
        )
    finally:
        source.unlink(missing_ok=True)
    if result.returncode == litert_torch_worker.MISSING:
        raise ImportError(
            f"litert-torch: not installed for {_PYTHON.get()}. Install it with pip "
            "install litert-torch keras, in an environment of its own."
        )
    if result.returncode:
        last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        raise UnsupportedLayer(
            f"litert-torch: could not convert the model, got {' '.join(last)[:300]!r}. "
            "Convert with TensorFlow instead."
        )


def _environment():
    """Environment of the subprocess: torch backend and this package's path."""
    root = pathlib.Path(keras_vit.__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": path}
