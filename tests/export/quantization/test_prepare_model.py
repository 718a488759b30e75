"""Functions on Keras models before conversion: exact in float, kinder to integers."""

import keras
import numpy as np
import pytest

from keras_vit.export.quantization import prepare_model
from keras_vit.layers.norm import LayerNorm

VARIANTS = {
    "token": {},
    "gap": {"pooling": "gap", "norm_pooled": True, "layer_scale": 0.5},
    "map": {"pooling": "map", "qkv_bias": False},
    "distilled": {"distilled": True, "qk_norm": True},
    "relative": {"position": "relative", "representation_size": 12},
    "tokens": {"include_top": False, "pooling": None, "registers": 2},
}
REWRITES = {
    "fold_norm_scale": lambda model, images: prepare_model.fold_norm_scale(model),
    "smooth": prepare_model.smooth,
    "equalize": lambda model, images: prepare_model.equalize(model),
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, tiny):
    """One architecture, its norms far from 1 and 0."""
    model = tiny(**VARIANTS[request.param])
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, LayerNorm):
            shape = layer.gamma.shape
            layer.gamma.assign(np.exp(rng.normal(size=shape)))
            layer.beta.assign(rng.normal(size=shape))
    return model


def weights_of(model):
    """A copy of all weights."""
    return [np.array(value) for value in model.get_weights()]


@pytest.mark.parametrize("name", REWRITES)
def test_exact_in_float(name, variant, images):
    """The answers stay within 1e-5 of their size, the weights do not."""
    expected, before = variant.predict(images, verbose=0), weights_of(variant)

    made = REWRITES[name](variant, images)

    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(expected, made(images), atol=1e-5 * size)
    for old, kept in zip(before, weights_of(variant), strict=True):
        np.testing.assert_array_equal(old, kept)
    changed = zip(before, made.get_weights(), strict=True)
    assert any(np.abs(old - new).max() > 1e-3 for old, new in changed)
    assert variant.preprocessing is made.preprocessing


def test_folded_norms_are_plain(tiny, images):
    """Nothing is left in any norm of a plain model, the last one included."""
    made = prepare_model.fold_norm_scale(tiny())

    norms = [x for x in made._flatten_layers() if isinstance(x, LayerNorm)]
    assert 5 == len(norms)
    for norm in norms:
        assert (norm.gamma.numpy() == 1).all() and (norm.beta.numpy() == 0).all()


def test_a_norm_that_is_an_output_is_left_alone(tiny, images):
    """Its scale would show."""
    model = tiny()
    both = keras.Model(model.input, [model.output, model.get_layer("norm").output])

    made = prepare_model.fold_norm_scale(both)

    np.testing.assert_array_equal(
        both.get_layer("norm").gamma.numpy(), made.get_layer("norm").gamma.numpy()
    )


def test_smoothing_levels_the_channels(tiny, images):
    """A channel a hundred times louder is not, afterwards, with alpha = 1."""
    model = tiny()
    norm = model.get_layer("block_0").norm1
    norm.gamma.assign(np.where(np.arange(16) == 3, 100.0, 1.0))

    made = prepare_model.smooth(model, images, alpha=1.0)

    seen = []

    def see(norm, inputs, outputs):
        seen.append(outputs.numpy())
        return outputs

    with prepare_model.observing_layers([made.get_layer("block_0").norm1], see):
        made(images)
    top = np.abs(seen[0]).reshape(-1, 16).max(axis=0)
    np.testing.assert_allclose(1.0, top, rtol=1e-4)


def test_equalized_ranges(tiny):
    """Query and key, value and projection, have one range per channel."""
    block = prepare_model.equalize(tiny()).get_layer("block_1").attention

    query, key, value = np.split(np.abs(block.qkv.kernel.numpy()).max(axis=0), 3)
    np.testing.assert_allclose(query, key, rtol=1e-4)
    back = np.abs(block.proj.kernel.numpy()).max(axis=1)
    np.testing.assert_allclose(value, back, rtol=1e-4)


def test_corrected_means(tiny, images):
    """After rounding to 3 bits the mean of the logits comes back, and some accuracy."""
    model = tiny()
    coarse = prepare_model.round_weights(model, bits=3)

    made = prepare_model.correct_bias(coarse, model, images)

    expected, off, ours = (m(images).numpy() for m in (model, coarse, made))
    assert np.abs(off.mean(0) - expected.mean(0)).max() > 1e-3
    np.testing.assert_allclose(expected.mean(0), ours.mean(0), atol=1e-5)
    assert ((ours - expected) ** 2).sum() < ((off - expected) ** 2).sum()


def test_nothing_to_correct(tiny, images):
    """The model itself comes back unchanged."""
    model = tiny()

    made = prepare_model.correct_bias(model, model, images)

    for old, new in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_allclose(old, new, atol=1e-6)


def test_wrong_options(tiny, images):
    """What is wrong, and what to do."""
    with pytest.raises(ValueError, match="between 0 and 1, got alpha=2. Use 0.5"):
        prepare_model.smooth(tiny(), images, alpha=2)
    with pytest.raises(ValueError, match="got 10 and 14. Pass the model it was made"):
        prepare_model.correct_bias(tiny(), tiny(depth=3), images)
