"""Virtual environments for tools that pin other versions than this package."""

import os
import subprocess
import sys

from keras_vit.export.processors import places
from keras_vit.export.runtime.console import say


def make_environment(name, packages, check, verbose=1):
    """Make a virtual environment in the cache, with packages from PyPI.

    Call its programs as `bin/python -m MODULE`: the scripts in `bin` name the folder
    that it was built in.

    Args:
        name: of the part. packages: as pip takes them, versions included.
        check: words for the new Python, such as ["-c", "import x"], which must end
            well before the part is kept.
        verbose: 0 for silence.

    Returns:
        `pathlib.Path` of its Python.

    Raises:
        OSError: when it cannot be made, with the last words of the program that
            could not.
    """

    def build(folder):
        say(f"{name}: making an environment with {' '.join(packages)}", verbose)
        run([sys.executable, "-m", "venv", folder], name)
        python = python_of(folder)
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        run([*pip, *packages], name, show=verbose)
        run([python, *check], name)

    return python_of(places.place(name, build, {"packages": list(packages)}))


def python_of(folder):
    """Path of an environment's interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(command, name, show=0, **options):
    """Run an installation program to its end.

    Args:
        command: program and arguments. name: of the part, for messages.
        show: whether its standard output may be seen. **options: of subprocess.

    Returns:
        What it wrote to standard output, "" when that was shown.

    Raises:
        OSError: when it fails, with its last words.
    """
    command = [os.fspath(word) for word in command]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **options,
        )
    except FileNotFoundError as err:
        raise FileNotFoundError(
            f"{name}: needs the program {command[0]!r}, which is not there. Install it."
        ) from err
    if done.returncode:
        last = " ".join((done.stderr.strip() or done.stdout or "").split())[-500:]
        raise OSError(
            f"{name}: {' '.join(command[:3])} ended with {done.returncode}: {last}. "
            "Mend that and start again: what has arrived is kept."
        )
    return done.stdout or ""
