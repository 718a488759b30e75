import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_vit import layers
from keras_vit.layers.patches import pair, patch_grid


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    patch=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.integers(1, 4),
)
def test_patches_are_row_major_and_flattened_row_column_channel(grid, patch, channels):
    """For any grid, patch and channel count the order is the documented one."""
    height, width = grid[0] * patch[0], grid[1] * patch[1]
    images = np.random.default_rng(0).random((2, height, width, channels), "float32")
    expected = [
        images[:, r * patch[0] : (r + 1) * patch[0], c * patch[1] : (c + 1) * patch[1]]
        for r in range(grid[0])
        for c in range(grid[1])
    ]
    expected = np.stack([e.reshape(2, -1) for e in expected], axis=1)

    result = ops.convert_to_numpy(layers.Patches(patch)(images))

    np.testing.assert_array_equal(expected, result)


@pytest.mark.parametrize(
    ("size", "patch", "message"),
    [
        ((225, 224), 16, r"image 225x224 px .* 16 px patches \(225 = 14\*16 \+ 1\). "
                         r"Use image_size=224, or resize first"),
        ((224, 230), 16, r"230 = 14\*16 \+ 6.*image_size=224"),
        ((30, 48), (8, 16), r"8x16 px.*image_size=\(24, 48\)"),
        ((10, 10), 16, r"10 = 0\*16 \+ 10.*image_size=16"),
    ],
)  # fmt: skip
def test_a_size_that_does_not_divide_is_explained(size, patch, message):
    """The message does the division and names a size that fits."""
    with pytest.raises(ValueError, match=message):
        patch_grid(size, pair(patch, "patch_size"))


@pytest.mark.parametrize("value", ["16", 16.0, (1, 2, 3), True])
def test_a_patch_size_of_a_wrong_kind_is_refused(value):
    """Only an int or a pair of ints is a size."""
    with pytest.raises(TypeError, match="int or a pair of ints"):
        layers.Patches(value)


def test_a_patch_size_below_one_is_refused():
    """No patch has no pixels."""
    with pytest.raises(ValueError, match="1 px or more, got 0"):
        layers.Patches(0)


def test_unknown_image_size_is_refused():
    """Patches need a fixed image size."""
    with pytest.raises(ValueError, match=r"fixed size.*None"):
        layers.Patches(8)(keras.Input((None, None, 3)))


def test_encoder_puts_class_tokens_then_registers_then_patches():
    """The prefix stands first, has its own values, and positions are added to all."""
    patches = np.random.default_rng(0).random((2, 4, 12), "float32")
    layer = layers.PatchEncoder(8, class_tokens=1, registers=2)
    layer.build(patches.shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(rng.standard_normal(weight.shape))
    projected = patches @ ops.convert_to_numpy(layer.projection.kernel)
    projected += ops.convert_to_numpy(layer.projection.bias)
    prefix = [
        ops.convert_to_numpy(t) for t in (layer.class_token, layer.register_tokens)
    ]
    prefix = np.concatenate(prefix, axis=1).repeat(2, axis=0)
    table = ops.convert_to_numpy(layer.table.embedding)
    expected = np.concatenate([prefix, projected], axis=1) + table

    result = ops.convert_to_numpy(layer(patches))
    np.testing.assert_allclose(expected, result, atol=1e-5)


def test_without_position_prefix_the_class_token_has_no_place():
    """Only patches get positions, as in big_vision and DeiT-III."""
    layer = layers.PatchEncoder(8, position_prefix=False)
    tokens = ops.convert_to_numpy(layer(np.zeros((1, 4, 12), "float32")))

    assert layer.table.embedding.shape == (1, 4, 8)
    np.testing.assert_array_equal(np.zeros((1, 8)), tokens[:, 0])


def test_learned2d_adds_a_row_and_a_column_vector():
    """The patch at (row, column) gets [columns[column], rows[row]]."""
    layer = layers.PatchEncoder(8, class_tokens=0, position="learned2d", grid=(2, 3))
    tokens = ops.convert_to_numpy(layer(np.zeros((1, 6, 12), "float32")))
    columns = ops.convert_to_numpy(layer.table.columns)[0]
    rows = ops.convert_to_numpy(layer.table.rows)[:, 0]

    expected = np.concatenate([columns[2], rows[1]])
    np.testing.assert_allclose(expected, tokens[0, 5], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"position": "rotary"}, (1, 4, 3), "learned.*got 'rotary'"),
        ({"grid": (2, 3)}, (1, 4, 3), r"grid=\(2, 3\).*4 patches"),
        ({}, (1, 5, 3), "5 patches do not make a square.*grid="),
        ({}, (1, None, 3), "fixed number of patches"),
        ({"width": 7, "position": "learned2d"}, (1, 4, 3), "even, got 7"),
    ],
)
def test_encoder_refuses_what_does_not_fit(arguments, shape, message):
    """Each refusal has the value and the way out."""
    with pytest.raises(ValueError, match=message):
        layers.PatchEncoder(**{"width": 8, **arguments}).build(shape)
