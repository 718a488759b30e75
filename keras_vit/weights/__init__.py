"""File formats in, models out; and models back into files."""

from keras_vit.weights import catalog, hub
from keras_vit.weights.catalog import list_checkpoints
from keras_vit.weights.checkpoint import (
    describe,
    from_checkpoint,
    from_variant,
    load,
)
from keras_vit.weights.saving import save_checkpoint

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
