"""Convolutional stems as files: batch norms and ReLU become part of convolutions."""

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.io.io_spec import check_images, contract_of


@pytest.fixture(scope="module")
def stemmed(tiny):
    """The tiny model behind three convolutions."""
    model = tiny(conv_stem=(8, 12, 12), patch_size=2)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
    return model


@pytest.mark.parametrize(
    ("write", "name", "convolution", "left_over"),
    [
        (export.to_tflite, "m.tflite", "CONV_2D", {"RELU"}),
        (export.to_onnx, "m.onnx", "Conv", {"BatchNormalization"}),
    ],
)
def test_a_stem_is_three_operators(
    stemmed, tmp_path, write, name, convolution, left_over
):
    """One per convolution, and the same answers on other images than the proof's."""
    result = write(stemmed, tmp_path / name, verbose=0)
    images = check_images(contract_of(stemmed, False), 2, seed=7)

    assert 3 == result.operators[convolution]
    assert not left_over & set(result.operators)
    assert export.verify(stemmed, tmp_path / name, images).passed
