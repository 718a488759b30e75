import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
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


def test_a_masked_autoencoder_is_seen_through_its_encoder(images):
    """Every function gives what it gives of `model.encoder`."""
    sizes = {"patch_size": 8, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 16}
    model = keras_vit.MaskedAutoencoder(
        image_size=32, decoder_width=16, decoder_depth=1, decoder_heads=2, **sizes
    )
    for look in (
        introspect.attention_maps,
        introspect.readout_attention,
        introspect.attention_distance,
        introspect.attention_rollout,
        introspect.token_norms,
    ):
        expected = np.asarray(look(model.encoder, images))
        np.testing.assert_array_equal(expected, np.asarray(look(model, images)))
    for look in (introspect.position_similarity, introspect.embedding_filters):
        np.testing.assert_array_equal(look(model.encoder), look(model))
    assert (4, 4) == introspect.token_layout(model).grid


def test_an_image_gpt_has_no_patches():
    """The message says what can be looked at instead."""
    model = keras_vit.ImageGPT(image_size=4, width=8, depth=1, heads=2, colors=8)
    with pytest.raises(ValueError, match="image GPT.*plot_completion.*--probe depth"):
        introspect.attention_maps(model, np.zeros((1, 4, 4, 3)))
