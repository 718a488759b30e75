"""Worker script: runs one file in tflite-micro's interpreter.

`tflite_micro_worker.py FILE INPUTS OUTPUTS` loads a file, whose inputs and outputs are
called so, with commas between. It imports numpy and tflite_micro and nothing else. The
first line it writes says what the interpreter is and how large an arena the file needs,
`{"runtime": ..., "arena_bytes": ...}` or `{"error": ...}`. Then each line on standard
input is a request, as `worker.py` takes it.
"""

import json
import os
import re
import sys
import tempfile

# What the interpreter may take. Pages that it does not touch are not used.
ARENAS = (1 << 30, 1 << 28, 1 << 25)
WORDS = 500  # characters of the interpreter's own


def spoken(function):
    """Call a function, and capture what the interpreter prints.

    It writes to the process's standard error from C++.
    """
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            value = function()
        except Exception as err:
            value = err
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return value, file.read().decode(errors="replace")


def load(path):
    """Load a file into an interpreter."""
    from tflite_micro import runtime

    for arena in ARENAS:
        interpreter, printed = spoken(
            lambda size=arena: runtime.Interpreter.from_file(path, arena_size=size)
        )
        if not isinstance(interpreter, MemoryError):
            break
    if isinstance(interpreter, Exception):
        told = " ".join(printed.split())[:WORDS]
        raise RuntimeError(
            f"{type(interpreter).__name__}: {interpreter} {told}".strip()
        )
    return interpreter


def arena(interpreter):
    """Bytes that the interpreter uses of its arena."""
    _, words = spoken(interpreter.print_allocations)
    return int(re.search(r"Arena allocation total (\d+)", words)[1])


def answer(interpreter, inputs, outputs, request):
    """Run once: input arrays from one file, output arrays to another."""
    import numpy as np

    with np.load(request["inputs"], allow_pickle=False) as given:
        for k, name in enumerate(request["names"]):
            interpreter.set_input(given[str(k)], inputs.index(name))
    _, words = spoken(interpreter.invoke)
    if isinstance(_, Exception):
        raise RuntimeError(f"{_} {' '.join(words.split())[:WORDS]}".strip())
    made = {str(k): interpreter.get_output(k) for k in range(len(outputs))}
    np.savez(request["outputs"], **made)
    return {"names": outputs}


def main(arguments):
    """Load the file, report it, then answer requests."""
    from importlib import metadata

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(function):
        try:
            value = function()
        except Exception as err:
            value = {"error": f"{type(err).__name__}: {str(err)[:WORDS]}"}
        answers.write(json.dumps(value) + "\n")
        answers.flush()
        return "error" not in value

    path, (inputs, outputs) = arguments[0], (word.split(",") for word in arguments[1:])
    held = []

    def begin():
        held.append(load(path))
        runtime = f"tflite-micro {metadata.version('tflite-micro')}"
        return {"runtime": runtime, "arena_bytes": arena(held[0])}

    if say(begin):
        for line in sys.stdin:
            say(lambda line=line: answer(held[0], inputs, outputs, json.loads(line)))


if __name__ == "__main__":
    main(sys.argv[1:])
