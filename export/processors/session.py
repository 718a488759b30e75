"""A file opened on another processor, with the interface of a local runtime."""

import numbers
import pathlib
import tempfile

import numpy as np

from keras_vit.export.processors import (
    emulator,
    parts,
    targets,
    tflite_micro,
    vela,
)
from keras_vit.export.processors.child import TIME_LIMIT
from keras_vit.export.runtime.runtimes import kind_of, open_file


class Session:
    """Runs one file in a `ChildProcess`, with the interface of a runtime.

    Args:
        child: `ChildProcess` that has loaded the file.

    Attributes:
        facts: what the other side said of itself, plain values.
    """

    def __init__(self, child):
        self._child, self.facts = child, child.first
        self._folder = tempfile.TemporaryDirectory(prefix="keras_vit.")

    @property
    def seconds(self):
        """Seconds spent waiting so far."""
        return self._child.seconds

    def __call__(self, **inputs):
        """Run one call of the file, name -> array, as its own runtime does."""
        folder = pathlib.Path(self._folder.name)
        inputs_file, outputs_file = folder / "inputs.npz", folder / "outputs.npz"
        np.savez(
            inputs_file, **{str(k): array for k, array in enumerate(inputs.values())}
        )
        request = {
            "inputs": str(inputs_file),
            "names": [*inputs],
            "outputs": str(outputs_file),
        }
        names = self._child.ask(request)["names"]
        with np.load(outputs_file, allow_pickle=False) as found:
            return {name: found[str(k)] for k, name in enumerate(names)}

    def close(self):
        """End the process, and remove the exchanged files."""
        self._child.close()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def check(target, file_format):
    """Refuse a target that cannot run the file, before any slow step.

    Args:
        target: `targets.Target`. file_format: format of the file.

    Raises:
        ValueError: for a format that the processor does not take.
        OSError: for what is not installed, with the way to get it.
    """
    if file_format not in target.formats:
        raise ValueError(
            f"on: {target.name} takes {' and '.join(target.formats)} files, got "
            f"{file_format}. Leave it out for this file."
        )
    if reason := parts.obstacle(target):
        raise OSError(f"{target.name}: {reason}.")


def check_limit(time_limit):
    """Check that a time limit is a number above 0.

    Raises:
        ValueError: when it is not a number of seconds above 0.
    """
    if not isinstance(time_limit, numbers.Real) or not time_limit > 0:
        raise ValueError(
            f"time_limit: must be seconds above 0, got {time_limit!r}. Use 3600."
        )


def ready(names, path, time_limit=TIME_LIMIT):
    """The targets of the names given, checked for a file.

    Args:
        names: one, a list, or None. path: of the file. time_limit: seconds.

    Returns:
        list of `targets.Target`.

    Raises:
        ValueError: for a name that is not known, or an invalid time limit.
        OSError, ValueError: as `check`.
    """
    chosen = targets.chosen(names)
    check_limit(time_limit)
    for target in chosen:
        check(target, kind_of(path))
    return chosen


def open_session(target, runtime, time_limit=TIME_LIMIT, verbose=1):
    """Start a processor and load a file there.

    Args:
        target: `targets.Target` that runs files.
        runtime: `Runtime` of the file here, with the signature to call.
        time_limit: seconds to wait for it in all. verbose: 0 for silence.

    Returns:
        `Session`.

    Raises:
        ChildProcessError: when it ends or refuses the file.
        TimeoutError: when the time is over.
        OSError, ValueError: as `check`.
    """
    check(target, runtime.format)
    return WAYS[target.kind](target, runtime, time_limit, verbose)


def compile_for(target, runtime, time_limit=TIME_LIMIT, verbose=1):
    """Compile a file for a target of kind "compiler": returns its `ProcessorTrial`.

    Args:
        target, runtime, time_limit, verbose: as in `open_session`.
    """
    check(target, runtime.format)
    return WAYS[target.kind](target, runtime, time_limit, verbose)


def _emulated(target, runtime, time_limit, verbose):
    words = [str(runtime.path.absolute()), runtime.signature or ""]
    return Session(emulator.start(target, words, time_limit, verbose))


def _interpreted(target, runtime, time_limit, verbose):
    given = (runtime.path, runtime.signature, time_limit, verbose)
    return Session(tflite_micro.start(target, *given))


# Kind of target -> function of (target, runtime, time_limit, verbose): a `Session`,
# or, of a compiler, a `ProcessorTrial`.
WAYS = {
    targets.EMULATOR: _emulated,
    targets.INTERPRETER: _interpreted,
    targets.COMPILER: vela.compiled,
}


def run(target, path, images, signature=None, time_limit=TIME_LIMIT, verbose=1):
    """Run a file on another processor.

    Args:
        target: name in `targets.TARGETS`, or "native". path: `.tflite` or `.onnx` file.
        images: (B, H, W, C), float32, or integers for a file that takes those.
        signature: which one of several; None for the file's first.
        time_limit: seconds. verbose: 0 for silence.

    Returns:
        A list of arrays, one per output, in the order of `open_file(path).outputs`.

    Raises:
        As `open_session`.
    """
    chosen = targets.chosen([target])
    runtime = open_file(path, signature=signature)
    if not chosen:
        return runtime(images)
    with open_session(chosen[0], runtime, time_limit, verbose) as session:
        return runtime.executed_by(session)(images)
