"""QEMU's user-mode emulator: the worker script on another processor."""

import os
import pathlib
import platform
import sys

from keras_vit.export.processors import places, worker
from keras_vit.export.processors.child import ChildProcess

PYTHON = "usr/bin/python3.11"


def qemu(architecture):
    """Path of the emulator of an architecture."""
    return places.folder() / "qemu" / "usr/bin" / f"qemu-{architecture}"


def command(target, arguments, tree=None, site=None):
    """Build the command that starts the worker on a processor.

    Args:
        target: `targets.Target` of kind "emulator". arguments: for the worker.
        tree, site: an arm64 system and its packages; None for the installed ones.

    Returns:
        list of words, and the environment as a dict.
    """
    start = [qemu(target.architecture), "-cpu", target.cpu]
    script = [worker.__file__, *arguments]
    if target.architecture == platform.machine():
        paths = [path for path in sys.path if path]
        # -P: files beside the script must not hide packages of their name.
        line = [*start, sys.executable, "-P", *script]
        return line, _environment(paths, "LD_LIBRARY_PATH")  # it is the same Python
    tree = tree or places.folder() / "arm64"
    site = site or places.folder() / "arm64-runtimes"
    python = [pathlib.Path(tree) / PYTHON, "-P"]
    return [*start, "-L", tree, *python, *script], _environment([site])


def _environment(paths, *more):
    """Environment variables of the emulated process, without this machine's libraries.

    Args:
        paths: where Python finds packages. *more: variables to keep if they are set.
    """
    kept = ("HOME", "TMPDIR", *more)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def start(target, arguments, time_limit, verbose=1, **parts):
    """Start a `ChildProcess` with the worker on a processor.

    Args:
        target, arguments: as in `command`; **parts: its tree and site.
        time_limit: seconds. verbose: 0 for silence.
    """
    line, environment = command(target, arguments, **parts)
    return ChildProcess(target.name, line, environment, time_limit, verbose)
