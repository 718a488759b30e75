"""What `keras-vit train --model` starts from."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit.cli.starting import starting_point


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Three images of each of two classes."""
    root = tmp_path_factory.mktemp("pets")
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(3):
            pixels = np.full((9, 9, 3), 90 * number, "uint8")
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return f"folder:{root}"


def test_trained_weights_get_a_head_for_the_data(tiny, pets, tmp_path):
    """Where the classes are others, in number, in name or in order."""
    path = tmp_path / "m.keras"
    for labels, kept in (("Cat dog", True), ("dog cat", False), ("ant bee", False)):
        model = tiny(classes=2, labels=labels.split())
        model.save(path)
        start = starting_point(str(path), pets, None)

        same = np.array_equal(
            model.get_layer("head").get_weights()[0],
            start.get_layer("head").get_weights()[0],
        )
        assert kept == same and (None, 2) == start.output_shape
    tiny(classes=5).save(path)
    start = starting_point(str(path), pets, "mixed_bfloat16")
    assert (None, 2) == start.output_shape
    assert "bfloat16" == start.get_layer("block_1").compute_dtype
    assert (None, 5) == starting_point(str(path), None, None).output_shape


def test_a_name_is_built_for_the_data(pets):
    """`fit` does that; a name that is none has a proposal."""
    assert "ViT-Ti/16" == starting_point("ViT-Ti/16", pets, None)
    with pytest.raises(ValueError, match="Did you mean"):
        starting_point("ViT-Ti16", pets, None)


@pytest.mark.slow
def test_trained_weights_are_fine_tuned(run, tiny, pets, tmp_path):
    """One command from a file of five classes to a model of the two in the folder."""
    tiny(classes=5).save(tmp_path / "m.keras")
    words = ("train", "--model", tmp_path / "m.keras", "--data", pets, "--epochs", 1)
    options = ("--batch-size", 2, "--set", "precision=mixed_bfloat16", "--json")
    code, out, err = run(*words, *options, "--output", tmp_path / "run")

    assert (0, ["cat", "dog"]) == (code, json.loads(out)["classes"]), err
    trained = keras.saving.load_model(tmp_path / "run" / "best.keras")
    assert (None, 2) == trained.output_shape and ["cat", "dog"] == trained.labels
    assert "bfloat16" == trained.get_layer("block_0").compute_dtype
