"""Broken conversions, full disks, Ctrl-C: nothing half-written may remain."""

import dataclasses
import errno
import logging
import sys

import numpy as np
import pytest

from keras_vit import export, files
from keras_vit.errors import ExportMismatch
from keras_vit.export.conversion import saved_model
from keras_vit.export.formats import write_and_verify
from keras_vit.export.formats.onnx import exporter as onnx
from keras_vit.export.images.batches import Batches
from keras_vit.export.io.io_spec import Contract, TensorSpec
from keras_vit.export.io.reference import Reference
from keras_vit.export.runtime import differences
from keras_vit.export.runtime.console import quiet


def write_damaged(monkeypatch, change):
    """Make the ONNX writer write another model than it was given."""
    intact = onnx.write_onnx

    def damaged(reference, file, opset):
        intact(change(reference), file, opset)

    monkeypatch.setattr(onnx, "write_onnx", damaged)


def test_a_wrong_weight_is_noticed(tiny, tmp_path, monkeypatch):
    """One changed bias: the error says which output, where and by how much."""

    def change(reference):
        bias = np.zeros(5, "float32")
        bias[3] = 0.5
        head = reference.model.get_layer("head").bias
        head.assign_add(bias)
        return reference

    write_damaged(monkeypatch, change)

    with pytest.raises(
        ExportMismatch, match=r"'logits'.*0.5 .*index \(\d, 3\)"
    ) as caught:
        export.to_onnx(tiny(), tmp_path / "m.onnx", verbose=0)
    assert "1.0e-04 wanted" in str(caught.value)
    assert [] == list(tmp_path.iterdir())


def test_another_shape_is_noticed(tiny, tmp_path, monkeypatch):
    """A file with four classes instead of five does not pass."""
    write_damaged(monkeypatch, lambda _: Reference(tiny(classes=4), False))

    with pytest.raises(ExportMismatch, match=r"outputs logits .*\(1, 5\), got .*4"):
        export.to_onnx(tiny(), tmp_path / "m.onnx", verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_a_failed_check_keeps_the_old_file(tiny, tmp_path, monkeypatch):
    """overwrite=True replaces a file only with one that passed."""
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")
    monkeypatch.setattr(write_and_verify, "prove", _refuse)

    with pytest.raises(ExportMismatch):
        export.to_onnx(tiny(), target, overwrite=True, verbose=0)
    assert b"old" == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())


def _refuse(*_):
    raise ExportMismatch("not the same")


@pytest.fixture(autouse=True)
def _converts_each_time(converts_once, monkeypatch):
    """What goes wrong on the way to a file is seen on the whole way alone."""
    for name, step in zip(("write_savedmodel", "convert"), converts_once, strict=True):
        monkeypatch.setattr(f"keras_vit.export.conversion.tflite.{name}", step)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("format_", ["savedmodel", "tflite", "onnx"])
def test_interruption_leaves_nothing(format_, error, model, tmp_path, monkeypatch):
    """Ctrl-C and a full disk pass through, and take the hidden files along."""

    def fail(*_, **__):
        (next(tmp_path.iterdir()) / "half").write_bytes(b"half")
        raise error

    monkeypatch.setattr("tensorflow.saved_model.save", fail)
    monkeypatch.setattr("onnx.checker.check_model", fail)
    write = getattr(export, f"to_{format_}")
    suffix = {"savedmodel": ""}.get(format_, f".{format_}")

    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        write(model, tmp_path / f"m{suffix}", verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_tensorflow_s_own_errors_of_writing_become_oserror(tmp_path):
    """Callers catch one kind of error, with the usual number for a full disk."""
    import tensorflow as tf

    message = "{{node SaveV2}} /x/part; No space left on device [Op:SaveV2]"
    with pytest.raises(OSError, match="No space left.*Free some space") as caught:
        with saved_model.disk_errors(tmp_path / "m"):
            raise tf.errors.ResourceExhaustedError(None, None, message)

    assert errno.ENOSPC == caught.value.errno


def test_too_small_a_disk_is_seen_before_the_slow_step(tiny, tmp_path, monkeypatch):
    """Free space is compared with what the work needs, several files for TFLite."""
    needed = []

    def check(path, count):
        needed.append(count)
        raise OSError(errno.ENOSPC, "too small")

    monkeypatch.setattr(files, "check_space", check)
    model = tiny()
    for write, name in ((export.to_onnx, "m.onnx"), (export.to_tflite, "m.tflite")):
        with pytest.raises(OSError, match="too small"):
            write(model, tmp_path / name, verbose=0)

    assert needed[0] > 4 * model.count_params()
    assert needed[1] > 2 * 4 * model.count_params()
    assert [] == list(tmp_path.iterdir())


def test_existing_and_unreachable_targets(model, tmp_path):
    """An existing path needs overwrite=True; a file is no folder."""
    (tmp_path / "m.onnx").write_bytes(b"mine")

    with pytest.raises(FileExistsError, match="overwrite=True"):
        export.to_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(NotADirectoryError, match="file stands in the way"):
        export.to_onnx(model, tmp_path / "m.onnx" / "n.onnx")
    assert b"mine" == (tmp_path / "m.onnx").read_bytes()

    export.to_onnx(model, tmp_path / "m.onnx", overwrite=True, verbose=0)

    assert (tmp_path / "m.onnx").stat().st_size > 1000


def test_options_of_tflite_are_checked_first(model, tmp_path):
    """Wrong suffix and recipe are refused with what is known."""
    with pytest.raises(ValueError, match="must end in .tflite"):
        export.to_tflite(model, tmp_path / "m.lite")
    with pytest.raises(ValueError, match="None, 'dynamic_int8', 'float16', .*'int3'"):
        export.to_tflite(model, tmp_path / "m.tflite", "int3")


def test_a_recipe_that_does_nothing_is_noticed(model, exported, tmp_path, monkeypatch):
    """A float32 file is not sold as an 8-bit one."""
    from keras_vit.export.quantization.recipes import RECIPES

    def copy(source, target):
        target.write_bytes(source.read_bytes())

    idle = dataclasses.replace(RECIPES["dynamic_int8"], apply=copy)
    monkeypatch.setitem(RECIPES, "dynamic_int8", idle)
    monkeypatch.setattr(
        "keras_vit.export.conversion.tflite.convert",
        lambda folder: exported["tflite"].path.read_bytes(),
    )

    with pytest.raises(ExportMismatch, match="dynamic_int8.*float32 weights"):
        export.to_tflite(model, tmp_path / "m.tflite", "dynamic_int8", verbose=0)


CONTRACT = Contract(
    TensorSpec("image", "float32", (1, 2, 2, 1)),
    (TensorSpec("y", "float32", (1, 3)),),
    "none",
)


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (np.full((2, 3), 1.001, "float32"), "difference of 0.001"),
        (np.full((2, 3), np.nan, "float32"), "not finite"),
        (np.ones((2, 3), "float64"), r"float32 \(2, 3\), got float64"),
        (np.ones((2, 4), "float32"), r"got float32 \(2, 4\)"),
    ],
)
def test_the_comparison_raises_on_wrong_input(got, message):
    """Value, finiteness, dtype and shape are all looked at."""
    with pytest.raises(ExportMismatch, match=message):
        differences.check_answers(
            "f", CONTRACT, "float32", [np.ones((2, 3), "float32")], [got]
        )


def test_labels_counted_from_one_are_told():
    """With the way out; other labels that do not fit are not."""
    images = np.zeros((3, 2, 2, 1), "float32") + np.arange(4).reshape(2, 2, 1)
    for labels, hint in (([1, 2, 3], "pass labels - 1"), ([0, 2, 3], "from 0, in the")):
        with pytest.raises(ValueError, match=f"from 0 to 2, got {labels[0]} .*{hint}"):
            Batches(images, labels, CONTRACT)


def test_the_comparison_accepts_rounding():
    """Differences of float32 arithmetic pass, as do those of 8-bit weights."""
    ones = np.ones((2, 3), "float32")

    exact = differences.check_answers("f", CONTRACT, "float32", [ones], [ones + 5e-5])
    eight = differences.check_answers("f", CONTRACT, "int8", [ones], [ones * 1.1])

    np.testing.assert_allclose([5e-5, 86.0], [exact.largest, exact.decibel], rtol=0.01)
    np.testing.assert_allclose(20.0, eight.decibel, rtol=1e-3)
    with pytest.raises(ExportMismatch, match="4.4 dB"):
        differences.check_answers("f", CONTRACT, "int8", [ones], [ones * 1.6])


def test_a_logger_set_up_in_silence_speaks_afterwards():
    """Its stream is that of the terminal again, not a file that was closed."""
    logger = logging.getLogger("keras_vit_tests.late")
    with quiet():
        logger.addHandler(logging.StreamHandler(sys.stderr))

    assert logger.handlers.pop().stream is sys.stderr


def test_quiet_hands_over_what_it_held_back_when_things_fail(capfd):
    """Silence is for success; a failure keeps the converter's last words."""
    import os
    import sys

    with quiet():
        os.write(2, b"chatter")
        sys.stdout.write("more chatter")
    with pytest.raises(RuntimeError) as caught, quiet():
        sys.stdout.write("it said:\n")
        os.write(1, b"the reason")
        raise RuntimeError("failed")

    assert "it said:\nthe reason" in caught.value.__notes__[0]
    assert ("", "") == tuple(capfd.readouterr())


def test_the_room_refuses_another_name(monkeypatch):
    """`import export` from a checkout would make second copies of every class."""
    import importlib.util
    import pathlib

    path = pathlib.Path(export.__file__)
    spec = importlib.util.spec_from_file_location("export", path)

    with pytest.raises(ImportError, match="keras_vit.export, got 'export'.*Write"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
