"""Reading and writing of weight files.

Names are imported when they are first asked for: the tables of published checkpoints
need no Keras.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `_imported` finds, for editors and type checkers
    from keras_vit.weights import catalog, hub
    from keras_vit.weights.catalog import list_checkpoints
    from keras_vit.weights.checkpoint import from_checkpoint, from_variant, load
    from keras_vit.weights.describing import describe
    from keras_vit.weights.saving import save_checkpoint

_HOME = {
    "describe": "describing",
    "from_checkpoint": "checkpoint",
    "from_variant": "checkpoint",
    "list_checkpoints": "catalog",
    "load": "checkpoint",
    "save_checkpoint": "saving",
}
__all__ = [
    "catalog",
    "describe",
    "from_checkpoint",
    "from_variant",
    "hub",
    "list_checkpoints",
    "load",
    "save_checkpoint",
]


def _imported(name):
    """Import a public name or a module of this room when it is first used."""
    place = f"keras_vit.weights.{_HOME.get(name, name)}"
    if name.startswith("_") or importlib.util.find_spec(place) is None:
        raise AttributeError(f"module 'keras_vit.weights' has no attribute {name!r}")
    module = importlib.import_module(place)
    found = getattr(module, name) if name in _HOME else module
    globals()[name] = found
    return found


if not TYPE_CHECKING:  # to a checker, a misspelt name is an error
    __getattr__ = _imported


def __dir__():
    return sorted({*globals(), *__all__})
