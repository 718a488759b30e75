"""16-bit and integer files through the front door: figures, progress, errors."""

import dataclasses

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import ExportMismatch
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization import recipes
from keras_vit.export.quantization.algorithms import prepare_graph
from keras_vit.export.runtime.runtimes import open_file


@pytest.fixture
def never(monkeypatch):
    """The slow step must not be reached."""

    def fail(*_):
        raise RuntimeError("reached the converter")

    monkeypatch.setattr("keras_vit.export.conversion.tflite.write_savedmodel", fail)


def test_float16_halves_the_weights(model, exported, converted, tmp_path):
    """Weights in 16 bits, float32 in and out, 50 dB and more."""
    result = export.to_tflite(model, tmp_path / "m.tflite", "float16", verbose=0)

    assert "float16" == open_file(result).precision == result.quantization
    assert result.signal_to_noise_db > 50
    assert result.size_bytes < 0.8 * exported["tflite"].size_bytes
    assert ["float32"] * 2 == [t.dtype for t in (*result.inputs, *result.outputs)]


def test_static_int8_from_batches(model, photos, converted, tmp_path, capsys):
    """Batches with labels calibrate a file, under a progress bar."""
    batches = ((photos[i : i + 8], np.zeros(8, int)) for i in range(0, 40, 8))

    result = export.to_tflite(
        model, tmp_path / "m.tflite", "static_int8", calibration=batches
    )

    assert "int8" == open_file(result).precision
    assert result.signal_to_noise_db > 25
    assert "calibrating on 40 images" in capsys.readouterr().out
    assert [result.path] == list(tmp_path.iterdir())
    expected = model.predict(photos, verbose=0)
    agree = expected.argmax(1) == open_file(result)(photos)[0].argmax(1)
    assert agree.mean() > 0.9


def test_static_int8_is_silent_on_request(model, photos, converted, tmp_path, capfd):
    """verbose=0 shows nothing at all."""
    export.to_tflite(
        model, tmp_path / "m.tflite", "static_int8", calibration=photos, verbose=0
    )

    assert "" == capfd.readouterr().out


def spoilt(photos, value):
    """The photos with one pixel replaced."""
    images = photos.copy()
    images[3, 0, 0, 0] = value
    return images


BAD = {
    "missing": (lambda p: None, "must be given.*got None. Pass 32 to 128"),
    "few": (lambda p: p[:31], "at least 32 images, got 31. Take"),
    "empty": (lambda p: p[:0], "at least one image, got none"),
    "no_batches": (lambda p: iter(()), "at least one batch, got none"),
    "shape": (lambda p: p[:, :16], r"\(N, 32, 32, 3\), got shape \(40, 16, 32, 3\)"),
    "nan": (lambda p: spoilt(p, np.nan), "NaN or infinity in image 3.*Leave it out"),
    "range": (lambda p: p * 127 + 128, "the model, -1 to 1, got 1.*mode='google'"),
    "pixels": (lambda p: p.astype("uint8"), "uint8 pixels. Use"),
    "blank": (lambda p: p * 0, "photographs, got 0 in every pixel"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calibration_is_refused_first(name, model, photos, never, tmp_path):
    """Images that are missing or wrong: what is, and what to do."""
    change, message = BAD[name]

    with pytest.raises(ValueError, match=f"calibration: .*{message}"):
        export.to_tflite(
            model, tmp_path / "m.tflite", "static_int8", calibration=change(photos)
        )
    assert [] == list(tmp_path.iterdir())


def test_calibration_of_another_kind(model, never, tmp_path):
    """A path is not images."""
    with pytest.raises(TypeError, match="calibration: .*got int"):
        export.to_tflite(model, tmp_path / "m.tflite", "static_int8", calibration=3)


@pytest.mark.parametrize("name", [None, "float16", "dynamic_int8"])
def test_calibration_is_never_ignored(name, model, photos, never, tmp_path):
    """A recipe that needs no images does not swallow them."""
    with pytest.raises(ValueError, match=f"int16x8 only, got .*{name}.*Leave it"):
        export.to_tflite(model, tmp_path / "m.tflite", name, calibration=photos)


def test_an_open_batch_is_refused(model, photos, never, tmp_path):
    """Ranges belong to a fixed graph."""
    with pytest.raises(ValueError, match="dynamic_batch: must be False.*one by one"):
        export.to_tflite(
            model, tmp_path / "m.tflite", "static_int8", True, calibration=photos
        )


def test_calibration_reads_what_it_needs(model, photos):
    """128 images spread over an array; of a stream no more than the first 128."""
    reference = Reference(model, dynamic_batch=False)
    many = np.concatenate([photos] * 5)
    read = []

    def stream():
        for start in range(0, 200, 40):
            read.append(start)
            yield many[start : start + 40]

    spread, first = (read_calibration(i, reference) for i in (many, stream()))

    assert (128, 32, 32, 3) == spread.shape == first.shape
    np.testing.assert_array_equal(spread[-1], many[-1])
    np.testing.assert_array_equal(first, many[:128])
    assert [0, 40, 80, 120] == read


def test_ctrl_c_while_calibrating_leaves_nothing(
    model, photos, converted, tmp_path, monkeypatch
):
    """The float file that was written on the way goes, too."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_graph, "ranges", interrupt)

    with pytest.raises(KeyboardInterrupt):
        export.to_tflite(
            model, tmp_path / "m.tflite", "static_int8", calibration=photos, verbose=0
        )
    assert [] == list(tmp_path.iterdir())


def test_a_calibrated_recipe_that_does_nothing(
    model, photos, converted, tmp_path, monkeypatch
):
    """A float32 file does not pass for an integer one."""

    def copy(source, target, **_):
        target.write_bytes(source.read_bytes())

    idle = dataclasses.replace(recipes.RECIPES["static_int8"], apply=copy)
    monkeypatch.setitem(recipes.RECIPES, "static_int8", idle)

    with pytest.raises(ExportMismatch, match="static_int8.*float32 weights"):
        export.to_tflite(
            model, tmp_path / "m.tflite", "static_int8", calibration=photos, verbose=0
        )
