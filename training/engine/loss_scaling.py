"""Loss scaling: losses are means, without Keras' division by the number of devices."""

import contextlib

from keras.src.losses import loss as keras_loss

NAMES = ("scale_loss_for_distribution", "unscale_loss_for_distribution")


@contextlib.contextmanager
def undivided():
    """Switch loss scaling by the number of devices off, while a step is traced.

    Keras divides what `keras.losses` return by the number of devices, but not what a
    model adds in a `compute_loss` of its own. `TrainStep` divides gradients, all of
    them and once.
    """
    before = {name: getattr(keras_loss, name) for name in NAMES}
    for name in NAMES:
        setattr(keras_loss, name, lambda value: value)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(keras_loss, name, function)
