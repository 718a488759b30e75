"""Optional dependencies: whether they are installed, and how to install them."""

import importlib.util

TENSORFLOW = (
    "{}: needs TensorFlow on every backend, which is not installed. `pip install "
    "tensorflow`, or install this package without --no-deps: that brings data sets "
    "and converters too. Models, checkpoints and keras_vit.introspect run without it."
)
BACKENDS = ("tensorflow", "jax", "torch")


def has(library):
    """Whether a library is installed; it is not imported."""
    return importlib.util.find_spec(library) is not None


def other_backend(missing):
    """Error text for a Keras backend that is not installed.

    Args:
        missing: name of the library that could not be imported.

    Returns:
        A sentence, or None for a library that is no backend.
    """
    if missing not in BACKENDS:
        return None
    there = [name for name in BACKENDS if name != missing and has(name)]
    ways = [f"set KERAS_BACKEND={name}" for name in there]
    ways.append(f"`pip install {missing}`")
    return f"Keras is to run on {missing}, which is not installed: {' or '.join(ways)}."
