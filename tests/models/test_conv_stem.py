"""Convolutions in front of a Vision Transformer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import models
from keras_vit.models import Architecture, conv_stem


@pytest.fixture(scope="module")
def stemmed(tiny):
    """The tiny model behind three convolutions, statistics filled with variances."""
    model = tiny(conv_stem=(8, 12, 12), patch_size=2)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(1.0 + ops.abs(weight))
    return model


@pytest.mark.parametrize(
    ("channels", "steps", "shrinks"),
    [
        ((24, 48, 96, 192), (2, 2, 2, 2), 16),
        ((48, 96, 192, 384), (2, 2, 2, 2), 16),
        ((64, 128, 128, 256, 256, 512), (2, 2, 1, 2, 1, 2), 16),
    ],
)
def test_stems_of_the_paper(channels, steps, shrinks):
    """Channels alone give the strides of each stem of table 2: patches of 16 px."""
    assert steps == conv_stem.strides(channels)
    assert shrinks == conv_stem.shrink(channels)
    arch = Architecture(conv_stem=channels, patch_size=1)
    assert (14, 14) == arch.grid


def test_the_stem_is_what_its_formula_says(stemmed, images):
    """Convolutions, normalisation and ReLU by hand give the patches of the model."""
    x = images
    for index, step in enumerate((2, 2, 1)):
        kernel = stemmed.get_layer(f"stem_conv{index}").kernel
        x = ops.conv(x, kernel, step, "same", data_format="channels_last")
        gamma, beta, mean, variance = stemmed.get_layer(f"stem_norm{index}").weights
        x = ops.relu((x - mean) / ops.sqrt(variance + 1e-5) * gamma + beta)
    patches = keras.Model(stemmed.input, stemmed.get_layer("patches").input)

    assert (4, 8, 8, 12) == tuple(x.shape)
    np.testing.assert_allclose(
        ops.convert_to_numpy(x), ops.convert_to_numpy(patches(images)), atol=1e-5
    )


def test_a_stem_is_saved_and_loaded(stemmed, images, tmp_path):
    """With the same logits, bit for bit; and no other format claims to hold it."""
    from keras_vit import weights

    stemmed.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")

    expected = ops.convert_to_numpy(stemmed(images, training=False))
    np.testing.assert_array_equal(
        expected, ops.convert_to_numpy(loaded(images, training=False))
    )
    with pytest.raises(ValueError, match="timm: has no name for.*stem_conv0"):
        weights.save_checkpoint(stemmed, tmp_path / "m.safetensors", "timm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conv_stem": ()}, r"conv_stem: must be channels.*got \(\). Use \(48"),
        ({"conv_stem": (8, 0)}, r"conv_stem: must be channels.*got \(8, 0\)"),
        ({"conv_stem": (8,), "stem": ()}, r"got stem=\(\) and conv_stem=\(8,\)"),
        ({"conv_stem": (8, 16), "image_size": 36}, "whole patches.*multiples of 8 px"),
    ],
)
def test_stems_that_cannot_be_are_refused(options, message):
    """Before anything is built, with the value."""
    with pytest.raises(ValueError, match=message):
        Architecture(**{"image_size": 32, "patch_size": 2, **options})


def test_a_stem_is_counted_without_arrays():
    """A B/16 of the paper's 4 GF stem can be outlined."""
    options = {"conv_stem": (48, 96, 192, 384), "patch_size": 1, "depth": 11}
    model = models.outline(models.build, Architecture(**options))

    assert (None, 196 + 1, 768) == model.get_layer("patch_encoder").output.shape
