"""Keeps TensorFlow's start-up messages off the screen of the `keras-vit` command.

TensorFlow prints them while it is imported and when it first looks for devices,
before any code of the command runs and whatever its log level says. Programs that
import the package keep their own settings.
"""

import os
import pathlib
import sys


def is_command():
    """Whether this process is `keras-vit` or `python -m keras_vit`."""
    name = pathlib.Path(sys.argv[0]).stem if sys.argv else ""
    as_module = name == "-m" and "keras_vit" in sys.orig_argv
    return name == "keras-vit" or as_module


def start_quietly():
    """Import Keras and its backend without their messages; errors still show."""
    if not is_command():
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    screen = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras

        if "TF_CONFIG" not in os.environ:  # workers must meet before anything else
            keras.ops.zeros(1)
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
