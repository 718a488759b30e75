"""The second converter: Keras on torch through litert-torch, in a subprocess."""

import importlib.util
import os
import sys

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import ExportMismatch, UnsupportedLayer
from keras_vit.export.conversion import litert_torch, litert_torch_worker
from keras_vit.export.runtime.runtimes import open_file

PYTHON = "KERAS_VIT_LITERT_TORCH_PYTHON"


@pytest.fixture
def worker(tmp_path_factory, monkeypatch):
    """Puts another script in the worker's place: a function of its source."""

    def put(source):
        script = tmp_path_factory.mktemp("worker") / "script.py"
        script.write_text(source)
        monkeypatch.setattr(litert_torch_worker, "__file__", str(script))

    return put


def test_the_block_decides(model, exported, worker, tmp_path):
    """Inside, the worker gets the model, the names and torch; outside, nobody asks."""
    worker(
        "import os, shutil, sys, zipfile\n"
        "assert zipfile.is_zipfile(sys.argv[1]) and sys.argv[3:] == ['logits']\n"
        "assert os.environ['KERAS_BACKEND'] == 'torch'\n"
        f"shutil.copyfile({str(exported['tflite'].path)!r}, sys.argv[2])\n"
    )

    with export.through_litert_torch():
        assert litert_torch.chosen()
        made = export.to_tflite(model, tmp_path / "m.tflite", verbose=0)

    assert not litert_torch.chosen()
    assert made.largest_difference < 1e-5
    assert ["m.tflite"] == os.listdir(tmp_path)


def test_what_it_writes_is_proven(tiny, exported, worker, tmp_path):
    """Another model's answers do not pass, whoever wrote the file."""
    worker(
        f"import shutil, sys; shutil.copyfile({str(exported['tflite'].path)!r}, "
        "sys.argv[2])"
    )

    with export.through_litert_torch(), pytest.raises(ExportMismatch, match="logits"):
        export.to_tflite(tiny(registers=1), tmp_path / "m.tflite", verbose=0)
    assert [] == os.listdir(tmp_path)


def test_its_last_words_are_passed_on(model, worker, tmp_path):
    """The reason it gives is in the error, and nothing is left behind."""
    worker("raise SystemExit('no lowering for aten::frobnicate')")

    with export.through_litert_torch():
        with pytest.raises(UnsupportedLayer, match="frobnicate.*TensorFlow instead"):
            export.to_tflite(model, tmp_path / "m.tflite", verbose=0)
    assert [] == os.listdir(tmp_path)


@pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is not None,
    reason="litert-torch is installed here",
)
def test_a_missing_package_comes_with_its_line(model, tmp_path):
    """An interpreter without litert-torch, and one that does not exist."""
    with export.through_litert_torch(sys.executable):
        with pytest.raises(ImportError, match="pip install litert-torch keras"):
            export.to_tflite(model, tmp_path / "m.tflite", verbose=0)
    with pytest.raises(FileNotFoundError, match="python='/no/python'.*bin/python"):
        with export.through_litert_torch("/no/python"):
            pass
    assert [] == os.listdir(tmp_path)


def test_open_batches_are_refused(model, tmp_path):
    """litert-torch traces one image."""
    with (
        export.through_litert_torch(),
        pytest.raises(ValueError, match="must be False"),
    ):
        export.to_tflite(model, tmp_path / "m.tflite", dynamic_batch=True, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [None, "dynamic_int8", "static_int8"])
def test_litert_torch_converts(recipe, model, photos, tmp_path):
    """The real thing: the same adapter, the same answers, the same recipes."""
    python = os.environ.get(PYTHON)
    if python is None and importlib.util.find_spec("litert_torch") is None:
        pytest.skip(
            f"needs litert-torch, here or in the interpreter that {PYTHON} names"
        )
    calibration = photos if recipe == "static_int8" else None

    with export.through_litert_torch(python):
        made = export.to_tflite(
            model, tmp_path / "m.tflite", recipe, calibration=calibration, verbose=0
        )

    assert (made.signal_to_noise_db > 25) if recipe else made.largest_difference < 1e-5
    expected, got = model.predict(photos, verbose=0), open_file(made)(photos)[0]
    np.testing.assert_allclose(got, expected, atol=1e-5 if recipe is None else 0.2)
