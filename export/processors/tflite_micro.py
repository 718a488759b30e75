"""tflite-micro's interpreter on this machine, as microcontrollers run it.

It takes a file's first graph, knows neither names nor signatures, and says how large
an arena the file needs. It lives in an environment of its own.
"""

from keras_vit.errors import ExportMismatch
from keras_vit.export.processors import places, tflite_micro_worker
from keras_vit.export.processors.child import TIME_LIMIT, ChildProcess
from keras_vit.export.processors.environment import make_environment, python_of
from keras_vit.export.runtime import tflite_file

NAME = "tflite-micro"
PACKAGES = ("tflite-micro", "numpy>=2.0")
CHECK = ("-c", "from tflite_micro import runtime; runtime.Interpreter")
MEGABYTES = 25


def install(verbose=1):
    """Install the interpreter."""
    make_environment(NAME, PACKAGES, CHECK, verbose)


def start(target, path, signature, time_limit=TIME_LIMIT, verbose=1):
    """Start a `ChildProcess` that has loaded a file in the interpreter.

    Args:
        target: `targets.Target`, for messages. path: `.tflite` file.
        signature: which one is called; None for the first.
        time_limit: seconds to wait for it in all. verbose: 0 for silence.

    Returns:
        `ChildProcess`; its `first` holds "arena_bytes", the memory that the file needs.

    Raises:
        ChildProcessError: when the interpreter refuses the file, in its own words.
        ExportMismatch: for a signature that is not the file's first graph.
    """
    inputs, outputs = first_graph(path, signature)
    python = python_of(places.folder() / NAME)
    # -P: files beside the script must not hide packages of their name.
    words = [python, "-P", tflite_micro_worker.__file__, path]
    words += [",".join(inputs), ",".join(outputs)]
    return ChildProcess(target.name, words, {"LC_ALL": "C.UTF-8"}, time_limit, verbose)


def first_graph(path, signature=None):
    """Names of inputs and outputs of a file's first graph, in its order.

    Args:
        path: `.tflite` file. signature: that must be that graph's, or None.

    Returns:
        Two lists of names.

    Raises:
        ExportMismatch: for a signature of another graph.
    """
    model = tflite_file.load(path)
    graph = model.subgraphs[0]
    named = [s for s in model.signatureDefs or () if s.subgraphIndex == 0]
    keys = [entry.signatureKey.decode() for entry in named]
    if not named or signature not in (None, *keys):
        raise ExportMismatch(
            f"{path}: tflite-micro runs a file's first graph, which is signature "
            f"{', '.join(keys) or 'none'}, got {signature!r}. Export that one alone."
        )
    sides = (named[0].inputs, graph.inputs), (named[0].outputs, graph.outputs)
    tensor_names = []
    for entries, numbers in sides:
        names = {entry.tensorIndex: entry.name.decode() for entry in entries}
        tensor_names.append([names[int(number)] for number in numbers])
    return tensor_names


def arena_bytes(path, time_limit=TIME_LIMIT):
    """Arena size of a file in tflite-micro, or None where that is not installed.

    On a 64-bit machine, whose pointers are twice as long as a microcontroller's: what
    the microcontroller needs is less.

    Args:
        path: `.tflite` file. time_limit: seconds.

    Returns:
        bytes, or None.

    Raises:
        ChildProcessError: when the interpreter refuses the file.
    """
    if places.note_of(NAME) is None:
        return None
    from keras_vit.export.processors.targets import TARGETS

    child = start(TARGETS[NAME], path, None, time_limit, verbose=0)
    child.close()
    return child.first["arena_bytes"]
