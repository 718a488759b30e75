import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import introspect


def test_attention_maps_have_one_array_per_block(tiny, images):
    """(B, A, T, T) per block, each row a distribution."""
    maps = introspect.attention_maps(tiny(registers=1), images)

    assert [(4, 2, 18, 18)] * 2 == [m.shape for m in maps]
    for weights in maps:
        np.testing.assert_allclose(1.0, weights.sum(axis=-1), atol=1e-5)


def test_attention_maps_are_those_of_the_forward_pass(tiny, images):
    """The weights times the values, projected, are the attention's output."""
    model = tiny()
    block = model.get_layer("block_0")
    weights = introspect.attention_maps(model, images)[0]
    tokens = keras.Model(model.input, block.input)(images)
    normed = block.norm1(tokens)
    _, _, value = block.attention._heads(normed)
    mixed = (
        (weights @ ops.convert_to_numpy(value)).transpose(0, 2, 1, 3).reshape(4, 17, 16)
    )

    expected = ops.convert_to_numpy(block.attention(normed))
    result = ops.convert_to_numpy(block.attention.proj(mixed))
    np.testing.assert_allclose(expected, result, atol=1e-5)


@pytest.mark.parametrize("pooling", ["token", "gap", "map"])
def test_readout_attention_is_one_map_per_image(tiny, images, pooling):
    """Whatever the pooling, a map over the patches with a largest value of 1."""
    model = tiny(pooling=pooling, image_size=(32, 48), registers=1)
    wide = np.concatenate([images, images[:, :, :16]], axis=2)
    maps = introspect.readout_attention(model, wide)

    assert (4, 4, 6) == maps.shape
    np.testing.assert_allclose(1.0, maps.reshape(4, -1).max(axis=1))


def test_a_model_without_blocks_is_named():
    """Only models made of our blocks can be looked into."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs), name="flat")

    with pytest.raises(ValueError, match="no TransformerBlock, got 'flat'"):
        introspect.attention_maps(model, np.zeros((1, 8, 8, 3)))
