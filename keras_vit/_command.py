"""Suppression of TensorFlow's start-up messages in the `keras-vit` command.

TensorFlow prints them while it is imported and when it first looks for devices,
before any code of the command runs and whatever its log level says. Programs that
import the package keep their own settings.
"""

import contextlib
import importlib.machinery
import os
import pathlib
import sys

LOUD = ("keras", "tensorflow")
QUIET = "3"  # errors alone, of TensorFlow


def is_command():
    """Whether this process is `keras-vit` or `python -m keras_vit`."""
    name = pathlib.Path(sys.argv[0]).stem if sys.argv else ""
    as_module = name == "-m" and "keras_vit" in sys.orig_argv
    return name == "keras-vit" or as_module


def start_quietly():
    """Suppress the messages of Keras and its backend while they are imported.

    Nothing is imported here: `keras-vit --help` needs neither. Errors still show.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
    if not any(isinstance(finder, QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietFinder())


def start_loudly():
    """Undo `start_quietly`, before Keras or TensorFlow is imported."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == QUIET:
        del os.environ["TF_CPP_MIN_LOG_LEVEL"]
    loud = (f for f in sys.meta_path if not isinstance(f, QuietFinder))
    sys.meta_path[:] = list(loud)


class QuietFinder:
    """Import hook that loads the noisy libraries without their messages."""

    def find_spec(self, name, path=None, target=None):
        """The module spec of a loud library, or None for any other name."""
        if name not in LOUD:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = QuietLoader(spec.loader)
        return spec


class QuietLoader:
    """Loads a module with standard error suppressed, then removes itself.

    Args:
        loader: the usual one.
    """

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        """As the usual loader."""
        return self.loader.create_module(spec)

    def exec_module(self, module):
        """As the usual loader, in silence; Keras looks for its devices too."""
        module.__loader__ = module.__spec__.loader = self.loader
        with _silence():
            self.loader.exec_module(module)
            # Workers must meet before anything else.
            if module.__name__ == "keras" and "TF_CONFIG" not in os.environ:
                module.ops.zeros(1)


@contextlib.contextmanager
def _silence():
    """Discard standard error inside the block."""
    sys.stderr.flush()
    screen = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
