"""Benchmark processes, each running one file."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import keras
import numpy as np

from keras_vit.export.io.io_spec import SERVE
from keras_vit.export.runtime import benchmark_worker

KINDS = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras"}


def kind_of(path):
    """Format by the file name: "tflite", "onnx", "keras" or "savedmodel"; else None."""
    path = pathlib.Path(path)
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    return None if path.is_dir() else KINDS.get(path.suffix)


class Worker:
    """One `benchmark_worker` in a process of its own.

    Args:
        path: exported file. threads: that its runtime may use.
        image: (1, H, W, C) to run, or None for noise.
        signature: of a `.tflite` file or SavedModel, to call.

    Attributes:
        load_ms: that loading took, runtime included.
        base_bytes: largest memory before the file was loaded.

    Raises:
        ValueError: when the file cannot be loaded, or does not take the image.
    """

    def __init__(self, path, threads, image=None, signature=SERVE):
        self._path = path
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        with tempfile.TemporaryDirectory() as folder:
            image_path = ""
            if image is not None:
                image_path = os.path.join(folder, "image.npy")
                np.save(image_path, image)
            arguments = [kind_of(path), os.path.abspath(path), str(threads), image_path]
            arguments.append(signature)
            self._process = subprocess.Popen(
                # -P: files beside the script must not hide packages, as onnx.py would.
                [sys.executable, "-P", benchmark_worker.__file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=_environment(),
            )
            try:
                ready = self._answer()
            except BaseException:
                self.close()
                raise
        self.load_ms, self.base_bytes = ready["load_ms"], ready["base_bytes"]

    def run(self):
        """Run the file once: {"wall_ms", "processor_ms", "peak_bytes"}."""
        with contextlib.suppress(BrokenPipeError):  # `_answer` says why it ended
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read()[-300:].strip() or "no message"
            raise ValueError(
                f"{self._path}: must run in its runtime, but the process ended: "
                f"{last}. Export it again."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(f"{self._path}: {answer['error']}")
        return answer

    def close(self):
        """End the process, also when it is busy."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


def _environment():
    """Environment of the worker: our packages, no messages, the same backend."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": keras.backend.backend(),
    }


def litert_benchmark(path, threads, rounds):
    """Median latency by the tool `litert-benchmark`, in ms.

    Args:
        path: `.tflite` file. threads: to use. rounds: how many runs.

    Raises:
        RuntimeError: when the tool is missing or fails.
    """
    tool = shutil.which("litert-benchmark", path=os.path.dirname(sys.executable))
    if tool is None:
        raise RuntimeError(
            "litert-benchmark: must be installed for cross_check=True, but it is not "
            "beside Python. Install it with pip install ai-edge-litert."
        )
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "result.json")
        words = ["--model", os.path.abspath(path), "--result_json", result]
        words += ["--num_runs", str(rounds), "--num_threads", str(threads)]
        done = subprocess.run([tool, *words], capture_output=True, text=True)
        if done.returncode or not os.path.exists(result):
            raise RuntimeError(
                f"litert-benchmark: must run {path}, but ended with "
                f"{done.returncode}: {done.stderr[-300:]}. Leave cross_check out."
            )
        with open(result) as file:
            return json.load(file)["latency"]["median_ms"]
