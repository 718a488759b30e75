"""Worker process: loads one exported file and runs it on request.

`keras_vit.export.benchmark` starts it as a script, one per file: it imports nothing
but the file's own runtime, so that its memory is what an application would need. It
answers each line on standard input with one line of JSON.
"""

import json
import math
import os
import pathlib
import sys
import time

SIDE = 256  # px of an image to decode


def peak_bytes():
    """Peak memory of this process, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        # The other way counts the process that started this one, too.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def load_tflite(path, threads, signature):
    """Load a `.tflite` file: a function of one input, its shape and dtype."""
    from ai_edge_litert.interpreter import Interpreter

    base = peak_bytes()
    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(signature)
    ((name, detail),) = runner.get_input_details().items()
    shape = detail["shape_signature"] if len(detail["shape_signature"]) else ()
    shape = [None if side < 0 else int(side) for side in shape]
    return lambda x: runner(**{name: x}), shape, detail["dtype"], base


def load_onnx(path, threads, signature):
    """Load an `.onnx` file, as `load_tflite`."""
    import onnxruntime

    base = peak_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Threads that wait busily for the next call would slow down the other files.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (argument,) = session.get_inputs()
    shape = [side if isinstance(side, int) else None for side in argument.shape]
    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16"}
    dtype = kinds.get(argument.type, argument.type[7:-1])
    return lambda x: session.run(None, {argument.name: x}), shape, dtype, base


def load_savedmodel(path, threads, signature):
    """Load a SavedModel, as `load_tflite`."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    base = peak_bytes()
    module = tf.saved_model.load(path)
    serve = module.signatures[signature]
    ((name, spec),) = serve.structured_input_signature[1].items()

    def run(x, module=module):  # a module that is let go takes its weights along
        return {k: v.numpy() for k, v in serve(**{name: tf.constant(x)}).items()}

    return run, spec.shape.as_list(), spec.dtype.as_numpy_dtype, base


def load_keras(path, threads, signature):
    """Load a `.keras` file, as `load_tflite`."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import keras

    import keras_vit  # noqa: F401  registers the layers

    run = None
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    base = peak_bytes()
    model = keras.saving.load_model(path, compile=False)
    run = model.predict_on_batch
    if keras.backend.backend() == "tensorflow":
        call = tf.function(lambda x: model(x, training=False), autograph=False)

        def run(x):
            return [y.numpy() for y in tf.nest.flatten(call(x))]

    (given,) = model.inputs
    return run, list(given.shape), given.dtype, base


LOADERS = {
    "tflite": load_tflite,
    "onnx": load_onnx,
    "savedmodel": load_savedmodel,
    "keras": load_keras,
}


def make_image(shape, dtype, path):
    """Make one input: the given image, or random pixels of the shape."""
    import numpy as np

    if path:
        image = np.load(path)
        if np.dtype(dtype).kind == "O" and image.dtype.kind == "S":
            image = image.astype(object)  # numpy has no other way to save bytes
        fits = len(shape) == image.ndim and all(
            side in (None, have) for side, have in zip(shape, image.shape, strict=True)
        )
        if not fits or image.dtype != np.dtype(dtype):
            raise ValueError(
                f"images: must be {np.dtype(dtype)} {tuple(shape)} for this file, got "
                f"{image.dtype} {image.shape}. Leave images out for random ones."
            )
        return image
    sides = [1 if k == 0 and side is None else side for k, side in enumerate(shape)]
    if None in sides:
        raise ValueError(
            f"images: needed for a file of open size, got none for {tuple(shape)}. "
            "Pass images=."
        )
    noise, input_dtype = np.random.default_rng(0), np.dtype(dtype)
    if input_dtype.kind == "O":
        return np.array([encoded(noise)] * math.prod(sides), object).reshape(sides)
    if input_dtype.kind in "iu":
        low, high = np.iinfo(input_dtype).min, np.iinfo(input_dtype).max + 1
        return noise.integers(max(low, -128), min(high, 256), sides).astype(input_dtype)
    return noise.uniform(-1, 1, sides).astype(input_dtype)


def encoded(noise):
    """Encode random pixels as JPEG, for SavedModels that decode images.

    Args:
        noise: `numpy.random.Generator`.
    """
    import tensorflow as tf

    pixels = noise.integers(0, 256, (SIDE, SIDE, 3)).astype("uint8")
    return tf.io.encode_jpeg(pixels).numpy()


def main(file_format, path, threads, image_path, signature):
    """Load the file, report it, then run once per line of input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a runtime prints is not an answer
    start = time.perf_counter()
    try:
        run, shape, dtype, base = LOADERS[file_format](path, int(threads), signature)
        loaded = time.perf_counter() - start
        image = make_image(shape, dtype, image_path)
        run(image)
    except Exception as err:  # the parent raises it again
        print(json.dumps({"error": f"{type(err).__name__}: {err}"}), file=answers)
        return
    print(json.dumps({"load_ms": 1e3 * loaded, "base_bytes": base}), file=answers)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        run(image)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        line = {"wall_ms": 1e3 * wall, "processor_ms": 1e3 * processor}
        print(json.dumps({**line, "peak_bytes": peak_bytes()}), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
