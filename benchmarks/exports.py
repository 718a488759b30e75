"""Sizes, differences, seconds and memory of exporting one named model.

python benchmarks/exports.py ViT-B/16

Random weights: neither size nor time depends on their values. Each format runs in a
process of its own, so that its peak memory is its own (model and TensorFlow included).
"""

import argparse
import json
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

# file -> recipe
FORMATS = {
    "saved_model": None,
    "model.tflite": None,
    "model_float16.tflite": "float16",
    "model_dynamic_int8.tflite": "dynamic_int8",
    "model.onnx": None,
    "model_float16.onnx": "float16",
    "model_dynamic_int8.onnx": "dynamic_int8",
}


def peak():
    """Most memory that this process ever held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def export_one(name, file):
    """Export in this process and print one JSON line of figures."""
    import keras
    import numpy as np

    import keras_vit
    from keras_vit import export

    keras.utils.set_random_seed(0)
    model = keras_vit.create(name)
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(0, 0.02, head.kernel.shape))
    before = peak()
    start, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / file
        if path.suffix:
            write = getattr(export, "to_" + path.suffix[1:])
            written = write(model, path, FORMATS[file], verbose=0)
        else:
            written = export.to_savedmodel(model, path, verbose=0)
    figures = {
        "file": file,
        "MB": round(written.size_bytes / 1e6, 1),
        "largest difference": float(f"{written.largest_difference:.1e}"),
        "CPU s": round(time.process_time() - busy, 1),
        "wall s": round(time.perf_counter() - start, 1),
        "GiB before": round(before, 2),
        "peak GiB": round(peak(), 2),
    }
    print(json.dumps(figures))


def main():
    """Run every format and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="ViT-B/16")
    parser.add_argument("--files", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--alone", choices=FORMATS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        return export_one(args.model, args.alone)
    print(f"{args.model}, {platform.processor() or platform.machine()}\n")
    for index, file in enumerate(args.files):
        command = [sys.executable, __file__, args.model, "--alone", file]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(result.stdout.strip().split("\n")[-1])
        if not index:
            print("| " + " | ".join(figures) + " |\n" + "|---" * len(figures) + "|")
        print("| " + " | ".join(map(str, figures.values())) + " |", flush=True)


if __name__ == "__main__":
    main()
