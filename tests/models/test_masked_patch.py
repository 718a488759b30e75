"""Masked patch prediction: what is hidden, and what is to be guessed."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "width": 32,
    "depth": 1,
    "heads": 4,
    "mlp_dim": 64,
}


def _bytes(count=4):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3))


@pytest.mark.parametrize("mode", ["google", "imagenet", "none"])
def test_colours_are_the_mean_bytes_in_three_bits(mode):
    """64 r + 8 g + b, each the mean byte of the patch divided by 32."""
    note = keras_vit.Preprocessing(image_size=(32, 32), mode=mode)
    model = keras_vit.MaskedPatchPrediction(**TINY, preprocessing=note)
    images = _bytes()
    found = model.targets(keras_vit.preprocess_input(images, mode))
    patches = images.reshape(4, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(4, 16, 3)
    bins = np.floor(patches / 32)
    expected = bins @ [64, 8, 1]
    assert np.array_equal(ops.convert_to_numpy(found), expected)


def test_small_patches_have_sixteen_colours():
    """Part (r, c) of the 4x4 grid of a patch is number 4 r + c."""
    model = keras_vit.MaskedPatchPrediction(target="small_patch", **TINY)
    images = _bytes()
    found = ops.convert_to_numpy(model.targets(keras_vit.preprocess_input(images)))
    parts = images.reshape(4, 4, 4, 2, 4, 4, 2, 3).mean(axis=(3, 6))
    bins = np.floor(parts.transpose(0, 1, 3, 2, 4, 5) / 32)
    assert np.array_equal(found, (bins @ [64, 8, 1]).reshape(4, 16, 16))


def test_half_is_corrupted_in_the_shares_of_the_paper():
    """Of many corrupted patches 80% are the token, 10% another's, 10% stay."""
    model = keras_vit.MaskedPatchPrediction(**TINY)
    projected = np.random.default_rng(0).normal(size=(400, 16, 32)).astype("float32")
    corrupted, mask = model.corrupt(projected)
    corrupted, mask = map(ops.convert_to_numpy, (corrupted, mask))
    assert np.array_equal(mask.sum(axis=1), np.full(400, 8))
    token = np.all(corrupted == ops.convert_to_numpy(model.mask_token), axis=-1)
    same = np.all(corrupted == projected, axis=-1)
    assert same[mask == 0].all() and not token[mask == 0].any()
    assert token[mask == 1].mean() == pytest.approx(0.8, abs=0.03)
    assert same[mask == 1].mean() == pytest.approx(0.1, abs=0.03)
    other = (mask == 1) & ~token & ~same
    row, place = np.argwhere(other)[0]
    assert any(np.array_equal(corrupted[row, place], p) for p in projected[row])


@pytest.mark.parametrize(
    "target",
    [
        "mean_color",
        pytest.param("small_patch", marks=pytest.mark.slow),
        pytest.param("pixels", marks=pytest.mark.slow),
    ],
)
def test_it_trains_saves_loads_and_hands_over(target, tmp_path):
    """Each target trains; the saved model guesses the same; a classifier follows."""
    keras.utils.set_random_seed(0)
    model = keras_vit.MaskedPatchPrediction(target=target, **TINY)
    model.compile("adam")
    images = keras_vit.preprocess_input(_bytes())
    losses = model.fit(images, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, after = model(images)["scores"], loaded(images)["scores"]
    assert np.array_equal(ops.convert_to_numpy(before), ops.convert_to_numpy(after))
    classifier = keras_vit.classifier_from(model, classes=3)
    assert classifier.output_shape == (None, 3)


def test_the_loss_counts_corrupted_patches_alone():
    """Scores of the other patches change nothing."""
    model = keras_vit.MaskedPatchPrediction(target="pixels", **TINY)
    images = keras_vit.preprocess_input(_bytes())
    output = model(images)
    mask = ops.convert_to_numpy(output["mask"])
    scores = ops.convert_to_numpy(output["scores"]).copy()
    before = float(model.prediction_loss(images, scores, mask))
    scores[mask == 0] += 100
    assert float(model.prediction_loss(images, scores, mask)) == before
    target = ops.convert_to_numpy(model.targets(images))
    error = np.square(scores - target).mean(axis=-1)[mask == 1].mean()
    assert before == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "hog"}, r"target: must be one of 'mean_color'.* got 'hog'"),
        ({"mask_ratio": 0.0}, r"mask_ratio: must corrupt .* got 0.0"),
        ({"mask_ratio": "half"}, r"mask_ratio: must corrupt .* got 'half'"),
        ({"target": "small_patch", "patch_size": 2}, r"patch_size: .* 4 px .*\(2, 2\)"),
        ({"channels": 1}, r"channels: colours need 3, got 1.*target='pixels'"),
        ({"distilled": True}, r"distilled: .* got True"),
    ],
)
def test_wrong_options(options, message):
    """The rule, the value and the way out are in the message."""
    with pytest.raises(ValueError, match=message):
        keras_vit.MaskedPatchPrediction(**{**TINY, **options})
