"""Big Transfer: wiring, options, golden numbers."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import variants
from keras_vit.layers import PreactivationUnit, StdConv
from keras_vit.models import BigTransfer

COUNTS = {  # 1000 classes; big_transfer
    "BiT_R50x1": 25_549_352,
    "BiT_R50x3": 217_319_080,
    "BiT_R101x1": 44_541_480,
    "BiT_R101x3": 387_934_888,
    "BiT_R152x2": 236_335_208,
    "BiT_R152x4": 936_533_224,
}
TINY = {"image_size": 32, "units": (1, 1), "filters": (32, 32), "classes": 5}


@pytest.fixture(scope="module")
def tiny_bit():
    """A ResNet of two stages with random weights."""
    model = BigTransfer(**TINY)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(weight.name == "gamma", 0.1, weight.shape))
    return model


@pytest.fixture
def bit_images():
    """Two images of an odd shape."""
    return np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("function", COUNTS)
def test_parameter_count(function):
    """Counts are those of big_transfer, without one array."""
    model = keras_vit.models.abstract_model(getattr(keras_vit, function))

    listed = dict(zip(variants.FUNCTIONS, variants.PARAMETERS.values(), strict=True))
    assert COUNTS[function] == model.count_params() == listed[function]
    assert function == model.name


def test_every_model_is_counted_and_listed():
    """Table, golden counts and list are the same set; all spellings mean the same."""
    names = keras_vit.list_models("BiT-*")

    assert set(COUNTS) == set(variants.BIT)
    assert list(variants.BIT) == [variants.parse(name).function for name in names]
    assert variants.parse("BiT-R50x1") == variants.parse("BiT_R50x1")
    assert (2, "BiT-R50x2") == variants.parse("BiT-R50x2")[1:] + ("BiT-R50x2",)
    with pytest.raises(ValueError, match="Did you mean 'BiT-R50x3'"):
        variants.parse("bit-r50x3")


def test_any_image_size(bit_images):
    """A model without a size takes all; its answers are those of the fixed one."""
    fixed = BigTransfer(**TINY)
    model = BigTransfer(**{**TINY, "image_size": (None, None)})
    rng = np.random.default_rng(0)
    values = [rng.normal(0.1, 0.1, w.shape) for w in model.weights]
    model.set_weights(values)
    fixed.set_weights(values)

    assert (None, None, None, 3) == model.input_shape
    assert (224, 224) == model.preprocessing.image_size
    same = [ops.convert_to_numpy(m(bit_images)) for m in (model, fixed)]
    np.testing.assert_allclose(*same, atol=1e-6)
    assert (2, 5) == model(bit_images[:, :30, :21]).shape
    outline = keras_vit.models.abstract_model(
        keras_vit.BiT_R50x1, input_shape=(None, None, 3), include_top=False
    )
    assert (None, 2048) == outline.output_shape


def test_features(bit_images, tiny_bit):
    """Without top: one vector, or the map that it is the mean of."""
    numbers = {k: v for k, v in TINY.items() if k != "classes"} | {"include_top": False}
    vector = BigTransfer(**numbers)
    maps = BigTransfer(**numbers, pooling=None)
    vector.set_weights(maps.get_weights())

    found = ops.convert_to_numpy(maps(bit_images))

    assert (2, 4, 4, 128) == found.shape
    got = ops.convert_to_numpy(vector(bit_images))
    np.testing.assert_allclose(found.mean((1, 2)), got, atol=1e-5)


def test_saved_model_is_the_same(tiny_bit, bit_images, tmp_path):
    """Answers, preparation and class names survive `.keras`."""
    tiny_bit.labels = ["ant", "bee", "cat", "dog", "elk"]
    tiny_bit.save(tmp_path / "x.keras")

    loaded = keras.saving.load_model(tmp_path / "x.keras")

    same = [ops.convert_to_numpy(m(bit_images)) for m in (tiny_bit, loaded)]
    np.testing.assert_array_equal(*same)
    assert tiny_bit.preprocessing == loaded.preprocessing
    assert tiny_bit.labels == loaded.labels


def test_mixed_precision(bit_images):
    """Kernels and norms are worked out in float32; logits stay in it."""
    model = BigTransfer(**TINY, dtype="mixed_bfloat16")
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(0, 0.1, head.kernel.shape))
    wide = BigTransfer(**TINY)
    wide.set_weights(model.get_weights())

    got = model(bit_images)

    assert "float32" == keras.backend.standardize_dtype(got.dtype)
    expected = ops.convert_to_numpy(wide(bit_images))
    assert np.abs(expected - ops.convert_to_numpy(got)).max() < 0.05 * expected.std()


def test_symmetric_padding_differs_from_same():
    """With a step of 2 and even sizes zeros stand on both sides, as in PyTorch."""
    x = np.ones((1, 8, 8, 1), "float32")
    layer = StdConv(1, 3, 2, padding="symmetric", baked=True)
    layer.build(x.shape)
    layer.kernel.assign(np.ones((3, 3, 1, 1)))

    got = ops.convert_to_numpy(layer(x))[0, :, :, 0]

    assert (1, 4, 4, 1) == layer.compute_output_shape(x.shape)
    expected = [4, 6, 6, 6]  # the corner lacks a row and a column, the rest nothing
    assert expected == got[0].tolist() and 9 == got[-1, -1]


@pytest.mark.parametrize("strides", [1, 2])
def test_unit_adds_to_its_input(strides):
    """Where the last kernel gives nothing, the input or its projection passes."""
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 128)).astype("float32")
    unit = PreactivationUnit(32, strides)
    unit.build(x.shape)
    unit.norm3.gamma.assign(np.zeros(32))

    got = unit(x)

    assert unit.compute_output_shape(x.shape) == got.shape
    shortcut = x if strides == 1 else unit.conv_proj(ops.relu(unit.norm1(x)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(shortcut), ops.convert_to_numpy(got), atol=1e-6
    )


WRONG = [
    ({"units": ()}, r"units: must be .*got \(\).*\(3, 4, 6, 3\)"),
    ({"width_factor": 0}, "width_factor: must be a whole number above 0, got 0"),
    ({"filters": (32,)}, r"filters: .*2 stages, got \(32,\)"),
    ({"filters": (32, 40)}, r"multiple of 32 .*got \(32, 40\)"),
    ({"pooling": "token"}, "pooling: must be 'gap' or None, got 'token'"),
    ({"pooling": None}, "pooling=None. Use include_top=False"),
    ({"labels": ["ant"]}, "labels: must name 5 classes, got 1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_wrong_options(options, message):
    """Every mistake is answered with its value and the way out."""
    with pytest.raises(ValueError, match=message):
        BigTransfer(**{**TINY, **options})


def test_wrong_layers():
    """Even kernels and unknown paddings are refused."""
    with pytest.raises(ValueError, match="size: must be odd, got 4. Use 5"):
        StdConv(8, 4)
    with pytest.raises(ValueError, match="'same', 'symmetric', got 'zero'"):
        StdConv(8, 3, padding="zero")


def test_learns_under_stock_fit():
    """Every weight gets a gradient through the standardisation; the loss falls."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    model = BigTransfer(**{**TINY, "image_size": 16})
    head = model.get_layer("head")
    head.kernel.assign(rng.normal(0, 0.1, head.kernel.shape))
    before = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)

    losses = model.fit(images, np.arange(8) % 5, epochs=6, verbose=0).history["loss"]

    assert losses[-1] < 0.8 * losses[0]
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(ops.convert_to_numpy(weight) - old).max() > 0, weight.path
