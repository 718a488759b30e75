"""Pictures of what models paint."""

import numpy as np
import pytest

import keras_vit
from keras_vit import introspect


@pytest.fixture(scope="module")
def images():
    """Two images of noise in -1..1."""
    return np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype("float32")


def test_a_reconstruction_shows_image_seen_and_painted(images):
    """Three rows; what is hidden is grey, what is seen stays."""
    note = keras_vit.Preprocessing(image_size=(8, 8))
    model = keras_vit.MaskedAutoencoder(
        image_size=8, patch_size=2, width=16, depth=1, heads=2, mlp_dim=16,
        decoder_width=16, decoder_depth=1, decoder_heads=2, preprocessing=note,
    )  # fmt: skip
    figure = introspect.plot_reconstruction(model, images)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 6
    original = np.rint((images[0] + 1) * 127.5)
    grey = np.all(shown[2] == 128, axis=-1)
    assert np.array_equal(shown[0], original) and grey.mean() == 0.75
    assert np.array_equal(shown[2][~grey], original[~grey])
    assert np.abs(shown[4][~grey].astype(int) - original[~grey]).max() <= 1


def test_a_completion_keeps_the_upper_part(images):
    """Image, known, and two paintings that differ below the middle alone."""
    model = keras_vit.ImageGPT(image_size=8, width=16, depth=1, heads=2, colors=8)
    figure = introspect.plot_completion(model, images, paintings=2, verbose=0)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 8
    whole, known, first, second = shown[0::2]
    for picture in (known, first, second):
        assert np.array_equal(picture[:4], whole[:4])
    assert (known[4:] == 128).all()
    assert not np.array_equal(first[4:], second[4:])
    assert figure._repr_png_().startswith(b"\x89PNG")  # a notebook shows it
