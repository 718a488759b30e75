"""Keras' old format of whole models, `.h5`, which cannot rebuild these layers."""

from keras.src.backend.common import global_state

SUFFIXES = (".h5", ".hdf5")


def refuse_h5(always=False):
    """Refuse what nothing could load again.

    Keras writes a whole model into `.h5` without a word, and finds out when it is
    loaded that it has no place for the classes of other packages.

    Args:
        always: False refuses only while Keras writes such a file.

    Raises:
        ValueError: with the formats that do load again.
    """
    if always or global_state.get_global_attribute("use_legacy_config"):
        raise ValueError(
            "filepath: a whole model of keras_vit cannot be loaded from .h5 again, so "
            "nothing was saved. Use model.save('model.keras'), or "
            "model.save_weights('model.weights.h5') for the weights alone."
        )
