"""Refusal of Keras' legacy `.h5` format of whole models."""

import contextlib
import os

from keras_vit.private_keras import begun_h5, writes_old_h5

SUFFIXES = (".h5", ".hdf5")


def refuse_h5(always=False):
    """Refuse to save `.h5`, which cannot be loaded again.

    Keras writes a whole model into `.h5` without a word, and finds out when it is
    loaded that it has no place for the classes of other packages.

    Args:
        always: False refuses only while Keras writes such a file.

    Raises:
        ValueError: with the formats that do load again.
    """
    writing = writes_old_h5()
    if writing:
        _remove_begun()
    if always or writing:
        raise ValueError(
            "filepath: a whole model of keras_vit cannot be loaded from .h5 again, so "
            "nothing was saved. Use model.save('model.keras'), or "
            "model.save_weights('model.weights.h5') for the weights alone."
        )


def _remove_begun():
    """Remove the empty file that Keras opens before it asks for a config.

    A file that the user opened is left to the user.
    """
    begun = begun_h5()
    if begun is not None:
        with contextlib.suppress(OSError):
            os.unlink(begun)
