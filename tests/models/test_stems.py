"""Any network in front of a Vision Transformer."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import weights
from keras_vit.errors import WeightsMismatch
from keras_vit.models import BigTransfer


def small_stem(side=None, channels=3):
    """Images -> features at a quarter of the size."""
    return keras.Sequential(
        [
            keras.Input((side, side, channels)),
            keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="first"),
            keras.layers.Conv2D(12, 3, 2, "same", name="second"),
        ],
        name="stem",
    )


@pytest.mark.parametrize("side", [None, 32])
def test_patches_are_cut_from_its_features(tiny, images, side, tmp_path):
    """The stem keeps its weights, is trained along, and is saved with the model."""
    stem = small_stem(side)
    model = tiny(stem=stem, patch_size=2)

    assert (4, 4) == model.get_layer("patch_encoder").grid
    assert stem is model.get_layer("stem")
    inside = {id(weight) for weight in model.trainable_weights}
    assert {id(weight) for weight in stem.weights} <= inside
    model.save(tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras")
    same = [ops.convert_to_numpy(m(images)) for m in (model, loaded)]
    np.testing.assert_array_equal(*same)


def test_networks_of_keras_fit():
    """keras.applications without their top, counted without arrays."""

    def build():
        stem = keras.applications.ResNet50(include_top=False, weights=None)
        return keras_vit.create("Ti/16", stem=stem, patch_size=1)

    model = keras_vit.models.abstract_model(build)

    assert (7, 7) == model.get_layer("patch_encoder").grid
    assert (None, 49, 2048) == model.get_layer("patches").output.shape


def test_preprocessing_comes_from_the_stem(tiny):
    """A network of this package says how its images are prepared."""
    note = keras_vit.Preprocessing(image_size=(64, 64), mode="imagenet")
    numbers = {"units": (1,), "filters": (32,), "include_top": False, "pooling": None}
    stem = BigTransfer(image_size=(None, None), preprocessing=note, **numbers)

    model = tiny(stem=stem, patch_size=2)

    assert note.resized((32, 32)) == model.preprocessing
    assert (4, 4) == model.get_layer("patch_encoder").grid


def test_mixed_precision(tiny, images):
    """The transformer computes in 16 bits behind a stem in 32."""
    model = tiny(stem=small_stem(), patch_size=2, dtype="mixed_bfloat16")

    assert np.isfinite(ops.convert_to_numpy(model(images))).all()


def test_wrong_stems(tiny):
    """What makes no feature map of such images is refused, with what it makes."""
    with pytest.raises(
        ValueError, match=r"one image \(B, 32, 32, 3\).*64, 64, 3.*incl"
    ):
        tiny(stem=small_stem(64), patch_size=2)
    with pytest.raises(ValueError, match=r"inputs .*None, 1\)"):
        tiny(stem=small_stem(channels=1), patch_size=2)
    vector = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"outputs \[\(None, 3072\)\]. Build it with"):
        tiny(stem=vector, patch_size=1)
    with pytest.raises(ValueError, match="8x8 features. Use patch_size=1"):
        tiny(stem=small_stem(), patch_size=3)


def test_other_formats_have_no_name_for_it(tiny, tmp_path):
    """Only `.keras` can hold a network of one's own."""
    model = tiny(stem=small_stem(), patch_size=2)

    with pytest.raises(WeightsMismatch, match="google_npz: has no name for .*first"):
        weights.save_checkpoint(model, tmp_path / "x.npz")
