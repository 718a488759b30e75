"""Refusal of Keras' legacy `.h5` format of whole models."""

import contextlib
import os
import sys

from keras.src.backend.common import global_state

SUFFIXES = (".h5", ".hdf5")
WRITER = "save_model_to_hdf5"  # of Keras


def refuse_h5(always=False):
    """Refuse to save `.h5`, which cannot be loaded again.

    Keras writes a whole model into `.h5` without a word, and finds out when it is
    loaded that it has no place for the classes of other packages.

    Args:
        always: False refuses only while Keras writes such a file.

    Raises:
        ValueError: with the formats that do load again.
    """
    writing = global_state.get_global_attribute("use_legacy_config")
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

    Its path is known in the function that called us through Keras alone. A file that
    the user opened is left to the user.
    """
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != WRITER:
        frame = frame.f_back
    known = {} if frame is None else frame.f_locals
    if known.get("opened_new_file"):
        with contextlib.suppress(OSError):
            os.unlink(known["filepath"])
