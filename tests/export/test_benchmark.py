import json
import os
import signal

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.runtime import benchmark_worker, processes


@pytest.fixture(scope="module")
def result(exported):
    """Three files, one thread."""
    paths = [exported[name].path for name in ("onnx", "tflite", "int8")]
    return export.benchmark(paths, threads=1, rounds=3, verbose=0)


def test_ratios_refer_to_the_float32_tflite_file(result, exported):
    """It is found by its content, wherever it stands in the list."""
    onnx, tflite, int8 = result.rows

    assert exported["tflite"].path == result.reference
    assert (1.0, 1.0, 1.0) == (
        tflite.size_ratio,
        tflite.memory_ratio,
        tflite.timings[1].ratio,
    )
    assert int8.size_ratio == int8.size_bytes / tflite.size_bytes < 1
    assert exported["onnx"].size_bytes == onnx.size_bytes


def test_every_figure_is_there(result):
    """Latency, its tail, memory above that of the bare runtime."""
    for row in result.rows:
        timing = row.timings[1]
        assert 0 < timing.median_ms <= timing.p95_ms
        assert timing.ratio > 0 and timing.processor_ms > 0 and timing.load_ms > 0
        assert 0 < row.base_bytes < row.peak_bytes < 500e6


def test_ratios_come_first_and_json_holds_all(result):
    """The table starts with ratios and ends with what they refer to."""
    text = str(result)
    stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))

    assert ["time,", "1", "thr", "memory", "size"] == text.split()[1:6]
    assert "1.00x" in text and "ratios to m.tflite, 3 rounds" in text
    assert {"processor", "cores"} <= set(stored["machine"])
    assert 3 == len(stored["rows"])


def test_a_folder_stands_for_its_files(exported, tmp_path):
    """Only files of known formats count; images are fed as they are."""
    (tmp_path / "notes.txt").write_text("mine")
    os.link(exported["int8"].path, tmp_path / "a.tflite")
    images = np.zeros((2, 32, 32, 3), "float32")

    result = export.benchmark(tmp_path, images, threads=[2], rounds=1, verbose=0)

    assert ["a.tflite"] == [row.path.name for row in result.rows]
    assert [2] == list(result.rows[0].timings)


def test_litert_benchmark_as_a_cross_check(exported):
    """Its median stands beside ours."""
    result = export.benchmark(
        exported["tflite"].path, threads=1, rounds=2, cross_check=True, verbose=0
    )

    assert result.rows[0].timings[1].litert_ms > 0


@pytest.mark.slow
def test_tensorflow_formats_run_in_their_own_process(model, exported, tmp_path):
    """SavedModel and Keras files, whose memory is mostly TensorFlow's."""
    model.save(tmp_path / "m.keras")
    paths = [exported["savedmodel"].path, tmp_path / "m.keras"]

    result = export.benchmark(paths, threads=1, rounds=2, verbose=0)

    assert ["savedmodel", "keras"] == [row.format for row in result.rows]
    assert all(row.timings[1].median_ms > 0 for row in result.rows)
    assert all(row.peak_bytes > 100e6 for row in result.rows)


def test_wrong_arguments_are_refused_first(exported, tmp_path):
    """Each has one sentence, before any process starts."""
    path = exported["tflite"].path

    with pytest.raises(ValueError, match="rounds: must be .* above 0, got 0"):
        export.benchmark(path, rounds=0)
    with pytest.raises(ValueError, match="threads: must be .* above 0, got -1"):
        export.benchmark(path, threads=-1)
    with pytest.raises(ValueError, match="threads: must be"):
        export.benchmark(path, threads=[])
    with pytest.raises(FileNotFoundError, match="no such file.*Export first"):
        export.benchmark(tmp_path / "no.tflite")
    with pytest.raises(ValueError, match="must be a .tflite, .onnx or .keras file"):
        export.benchmark(tmp_path)
    with pytest.raises(ValueError, match="at least one file"):
        export.benchmark([])


def test_a_file_that_does_not_run_is_named(exported, tmp_path):
    """Damaged files and images of another shape say so; no process stays."""
    (tmp_path / "a.onnx").write_bytes(b"no model")

    with pytest.raises(ValueError, match="a.onnx: "):
        export.benchmark(tmp_path / "a.onnx", threads=1, rounds=1, verbose=0)
    with pytest.raises(ValueError, match=r"\(1, 32, 32, 3\).*got float32 \(1, 8, 8"):
        images = np.zeros((1, 8, 8, 3), "float32")
        export.benchmark(exported["int8"].path, images, threads=1, verbose=0)


def test_a_process_that_dies_is_an_error(exported):
    """Killed from outside, it does not leave its parent waiting."""
    worker = processes.Worker(exported["int8"].path, 1)
    os.kill(worker._process.pid, signal.SIGKILL)

    with pytest.raises(ValueError, match="process ended.*Export it again"):
        worker.run()
        worker.run()
    worker.close()


def test_files_that_decode_get_encoded_noise(tmp_path):
    """A JPEG is made for them, or taken as bytes; both are what TensorFlow reads."""
    import tensorflow as tf

    made = benchmark_worker.make_image([None], object, "")
    np.save(tmp_path / "image.npy", np.asarray([made[0], b"second"])[:1])
    given = benchmark_worker.make_image([None], object, tmp_path / "image.npy")

    assert (1,) == made.shape and made.tolist() == given.tolist()
    assert (256, 256, 3) == tf.io.decode_jpeg(tf.constant(given)[0]).shape
    with pytest.raises(ValueError, match="images: must be object"):
        np.save(tmp_path / "image.npy", np.zeros((1, 4, 4, 3), "float32"))
        benchmark_worker.make_image([None], object, tmp_path / "image.npy")


def test_noise_fits_any_input():
    """Whole numbers for integer inputs, an open batch of one, nothing else open."""
    image = benchmark_worker.make_image([None, 4, 4, 3], "uint8", "")

    assert ("uint8", (1, 4, 4, 3)) == (image.dtype.name, image.shape)
    with pytest.raises(ValueError, match="open size.*Pass images="):
        benchmark_worker.make_image([1, None, None, 3], "float32", "")
