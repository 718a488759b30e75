"""Worker script: runs one exported file on the processor that it is started on.

It imports numpy and the file's runtime and nothing else, since these are all that an
emulated machine has. `worker.py FILE SIGNATURE` loads a file, `worker.py --check NAME
...` only imports runtimes. Each line on standard input is a request, `{"inputs":
path.npz, "names": [...], "outputs": path.npz}`; the arrays in both files are called 0,
1 and so on. The answer is `{"names": [...]}` or `{"error": "..."}`.
"""

import json
import os
import platform
import sys

DOT, HALF, INT8, BFLOAT = (16, 20), (16, 10), (26, 13), (26, 14)  # of getauxval
BITS = {"dotprod": DOT, "fp16": HALF, "i8mm": INT8, "bf16": BFLOAT}


def arm_features():
    """The kernel's flags of the processor's instruction sets, on ARM alone."""
    if platform.machine() != "aarch64":
        return []
    import ctypes

    ask = ctypes.CDLL(None).getauxval
    ask.restype, ask.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return [name for name, (word, bit) in BITS.items() if ask(word) >> bit & 1]


def open_tflite(path, signature):
    """Load a `.tflite` file: (function of {name: array}, the runtime's name)."""
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(signature)
    # The runner alone does not keep the interpreter alive.
    return lambda inputs, _=interpreter: runner(**inputs), version(ai_edge_litert)


def open_onnx(path, signature):
    """Load an `.onnx` file, as `open_tflite`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(inputs):
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run, version(onnxruntime)


def version(module):
    """Name and version of a package."""
    return f"{module.__name__} {module.__version__}"


OPENERS = {".tflite": open_tflite, ".onnx": open_onnx}


def answer(run, request):
    """Run once: input arrays from one file, output arrays to another."""
    import numpy as np

    with np.load(request["inputs"], allow_pickle=False) as given:
        inputs = {name: given[str(k)] for k, name in enumerate(request["names"])}
    made = run(inputs)
    arrays = {str(k): array for k, array in enumerate(made.values())}
    np.savez(request["outputs"], **arrays)
    return {"names": list(made)}


def serve(run, say):
    """Answer requests until the input ends."""
    for line in sys.stdin:
        try:
            say(answer(run, json.loads(line)))
        except Exception as err:
            say({"error": f"{type(err).__name__}: {str(err)[:300]}"})


def check(names):
    """Import the runtimes: their names and versions."""
    return ", ".join(version(__import__(name)) for name in names)


def main(arguments):
    """Load the file, report it, then answer requests."""
    import numpy

    # Runtimes write to standard output; answers go to a copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    facts = {"machine": platform.machine(), "features": arm_features()}
    facts["numpy"] = numpy.__version__
    try:
        if arguments[0] == "--check":
            say({**facts, "runtime": check(arguments[1:])})
            return
        kind = os.path.splitext(arguments[0])[1]
        run, runtime = OPENERS[kind](*arguments)
    except Exception as err:
        say({"error": f"{type(err).__name__}: {str(err)[:300]}"})
        return
    say({**facts, "runtime": runtime})
    serve(run, say)


if __name__ == "__main__":
    main(sys.argv[1:])
