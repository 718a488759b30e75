"""Keeps TensorFlow's start-up messages off the screen of the `keras-vit` command.

They are printed while TensorFlow is imported, which happens before any code of
the command runs. Programs that import the package keep their own settings.
"""

import os
import pathlib
import sys


def is_command():
    """Whether this process is `keras-vit` or `python -m keras_vit`."""
    name = pathlib.Path(sys.argv[0]).stem if sys.argv else ""
    as_module = name == "-m" and "keras_vit" in getattr(sys, "orig_argv", [])
    return name == "keras-vit" or as_module


def quiet():
    """Lower the log level of TensorFlow, unless the user has set it."""
    if is_command():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
