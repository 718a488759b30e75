"""What `keras-vit train --model` starts from."""

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
