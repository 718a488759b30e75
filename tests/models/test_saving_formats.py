"""Saved models load again, or are refused while they are saved."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_vit import Preprocessing, weights


@pytest.mark.parametrize("wrap", ["itself", "sequential", "cut", "function"])
def test_h5_is_refused_with_the_way_out(wrap, tiny, tmp_path):
    """Whatever way leads there: the method, Keras' function, a model around."""
    model, path = tiny(depth=1), tmp_path / "m.h5"
    save = {
        "itself": model.save,
        "sequential": keras.Sequential([keras.Input((32, 32, 3)), model]).save,
        "cut": keras.Model(model.input, layers.Softmax()(model.output)).save,
        "function": lambda path: keras.saving.save_model(model, path),
    }[wrap]

    with pytest.raises(ValueError, match=r"from .h5 again.*model.save\('model.keras'"):
        save(path)
    assert [] == list(tmp_path.iterdir())


def test_a_file_of_the_users_own_stays_open_to_the_user(tiny, tmp_path):
    """h5py's, given in place of a path: refused all the same, and not removed."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        with pytest.raises(ValueError, match="from .h5 again"):
            keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5(
                tiny(depth=1), file
            )
    assert (tmp_path / "m.h5").is_file()


def test_weights_alone_still_go_to_h5(tiny, images, tmp_path):
    """`.weights.h5` is another format, and works."""
    model, twin = tiny(depth=1), tiny(depth=1)
    twin.get_layer("head").kernel.assign(twin.get_layer("head").kernel * 0)
    model.save_weights(tmp_path / "m.weights.h5")
    twin.load_weights(tmp_path / "m.weights.h5")

    assert np.array_equal(model(images), twin(images))


def test_frozen_and_compiled_models_are_saved_whole(tiny, images, tmp_path):
    """The order of frozen weights does not matter, nor what compile was given."""
    model = tiny(depth=1)
    for layer in model.layers[2:-2]:
        layer.trainable = False
    model.compile("adamw", loss="mse", metrics=["accuracy"])

    for name, format in (("a.safetensors", "timm"), ("a.npz", "google_npz")):
        path = weights.save_checkpoint(model, tmp_path / name, format)
        loaded = weights.from_checkpoint(path, verbose=0)
        assert np.array_equal(model(images), loaded(images))
    model.save(tmp_path / "a.keras")
    loaded = weights.load(str(tmp_path / "a.keras"))
    assert np.array_equal(model(images), loaded(images))
    assert not loaded.get_layer("block_0").trainable


@pytest.mark.parametrize("format", ["timm", "hf", "keras"])
def test_a_range_of_ones_own_travels(format, tiny, tmp_path):
    """Free mean, std and scale come back from every format."""
    note = Preprocessing((32, 32), mean=(0.4, 0.41, 0.42), std=0.3, scale=1 / 250)
    model = tiny(depth=1, preprocessing=note)
    path = tmp_path / {"timm": "a.safetensors", "hf": "a", "keras": "a.keras"}[format]
    if format == "keras":
        model.save(path)
    else:
        weights.save_checkpoint(model, path, format)

    assert note == weights.load(str(path)).preprocessing
