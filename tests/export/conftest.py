"""One small model and one file of each format, shared by all tests of this room."""

import numpy as np
import pytest

from keras_vit import export

LABELS = ["ant", "bee", "cat", "dog", "elk"]


@pytest.fixture(scope="session", autouse=True)
def _converts_once(converts_once):
    """One conversion for all tests that start from the same float32 file."""


@pytest.fixture(scope="session")
def model(tiny):
    """The model that every shared file was made from."""
    return tiny(labels=LABELS)


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    """Name -> `Exported`, one per format."""
    folder = tmp_path_factory.mktemp("exported")
    return {
        "savedmodel": export.to_savedmodel(model, folder / "saved", verbose=0),
        "tflite": export.to_tflite(model, folder / "m.tflite", verbose=0),
        "int8": export.to_tflite(model, folder / "q.tflite", "dynamic_int8", verbose=0),
        "onnx": export.to_onnx(model, folder / "m.onnx", verbose=0),
    }


@pytest.fixture
def converted(exported, monkeypatch):
    """The converter gives the float32 file that was made before."""
    content = exported["tflite"].path.read_bytes()
    monkeypatch.setattr(
        "keras_vit.export.conversion.tflite.write_savedmodel", lambda *_: None
    )
    monkeypatch.setattr(
        "keras_vit.export.conversion.tflite.convert", lambda folder: content
    )


@pytest.fixture(scope="session")
def photos():
    """Forty images in the model's range, one more than a batch holds and some."""
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (40, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="session")
def answers(model, photos):
    """The model's own choice for each photo: labels that it gets right."""
    return model.predict(photos, verbose=0).argmax(axis=1)


@pytest.fixture(scope="session")
def assert_best():
    """That these are best classes of all scores, near equals in any order.

    Runtimes add in other orders, so that scores apart by less than atol may swap.
    """

    def check(classes, scores, expected, atol):
        rows = np.take_along_axis(expected, np.asarray(classes), axis=1)
        np.testing.assert_allclose(scores, rows, atol=atol)
        assert all(len(set(row)) == len(row) for row in np.asarray(classes).tolist())
        best = -np.sort(-expected, axis=1)[:, : rows.shape[1]]
        np.testing.assert_allclose(rows, best, atol=2 * atol)

    return check


@pytest.fixture
def never(monkeypatch):
    """The slow step must not be reached."""

    def fail(*_):
        raise RuntimeError("reached the converter")

    monkeypatch.setattr("keras_vit.export.conversion.tflite.write_savedmodel", fail)
