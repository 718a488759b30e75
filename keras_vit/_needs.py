"""What some rooms need beyond Keras, and how to get it."""

import importlib.util

TENSORFLOW = (
    "{}: needs TensorFlow on every backend, which is not installed. `pip install "
    "tensorflow`. Models, checkpoints and keras_vit.introspect run without it."
)


def has(library):
    """Whether a library is installed; it is not imported."""
    return importlib.util.find_spec(library) is not None
