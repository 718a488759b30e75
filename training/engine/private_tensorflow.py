"""Every private name of TensorFlow that this package uses.

As `keras_vit/private_keras.py` for Keras; the same tests look after it.
"""

from tensorflow.python.framework import config

CHECKED = "2.21.0"  # the version of TensorFlow that this was checked with


def is_deterministic() -> bool:
    """Whether `tf.config.experimental.enable_op_determinism` was called.

    Without: `xla=True` breaks the promise of determinism and nobody says so.
    """
    return config.is_op_determinism_enabled()
