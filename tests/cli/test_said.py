"""What is guessed or unusual about pixels is said by every command."""

import json

import keras
import pytest

from keras_vit import Preprocessing


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A grey PNG."""
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    keras.utils.save_img(path, keras.ops.ones((40, 50, 3)) * 128.0, scale=False)
    return path


def test_a_range_of_ones_own_is_said(run, tiny, picture, tmp_path):
    """On the error stream, so that JSON stays JSON."""
    note = Preprocessing((32, 32), mean=0.4, std=0.3)
    tiny(depth=1, preprocessing=note).save(tmp_path / "m.keras")

    code, out, err = run("predict", tmp_path / "m.keras", picture, "--json")

    assert 0 == code and json.loads(out)
    assert "note: images are brought to the range of mean=(0.4,), std=(0.3,)" in err


def test_a_model_inside_is_said_and_a_clone_refused(run, tiny, picture, tmp_path):
    """The range that was found is named; where there is none, an option says it."""
    model = tiny(depth=1)
    keras.Sequential([keras.Input((32, 32, 3)), model]).save(tmp_path / "s.keras")
    keras.models.clone_model(model).save(tmp_path / "c.keras")

    code, _, err = run("predict", tmp_path / "s.keras", picture)
    assert 0 == code and "as the model 'vit' inside says" in err
    code, _, err = run("predict", tmp_path / "c.keras", picture)
    assert 2 == code and "does not say which pixels" in err
    words = ("--preprocess", "mean=(0.4,0.5,0.6)", "--preprocess", "std=0.3")
    assert 0 == run("predict", tmp_path / "c.keras", picture, *words)[0]
    code, _, err = run("predict", tmp_path / "c.keras", picture, *words[2:], "--top=1")
    assert 0 == code
    words = ("--preprocess", "crop=0.9")
    code, _, err = run("predict", tmp_path / "c.keras", picture, *words)
    assert 2 == code and "needs a range as well" in err
