"""File formats in, models out; and models back into files."""

from keras_vit.weights.checkpoint import describe, from_checkpoint

__all__ = ["describe", "from_checkpoint"]
