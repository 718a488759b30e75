"""What a run starts from when it is given a name or a file."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import training
from keras_vit.training.starting import starting_point


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


def names():
    """As `starting_point` asks for them."""
    return "folder:pets", ("cat", "dog")


def test_trained_weights_get_a_head_for_the_data(tiny, tmp_path):
    """Where the classes are others, in number, in name or in order."""
    path = tmp_path / "m.keras"
    for labels, kept in (("Cat dog", True), ("dog cat", False), ("ant bee", False)):
        model = tiny(classes=2, labels=labels.split())
        model.save(path)
        start = starting_point(str(path), names, None)

        same = np.array_equal(
            model.get_layer("head").get_weights()[0],
            start.get_layer("head").get_weights()[0],
        )
        assert kept == same and (None, 2) == start.output_shape
    tiny(classes=5).save(path)
    start = starting_point(str(path), names, "mixed_bfloat16")
    assert (None, 2) == start.output_shape
    assert "bfloat16" == start.get_layer("block_1").compute_dtype
    assert (None, 5) == starting_point(str(path), None, None).output_shape


def test_a_name_is_built_for_the_data():
    """`fit` does that; a name that is none has a proposal, a file must be there."""
    assert starting_point("ViT-Ti/16", names, None) is None
    with pytest.raises(ValueError, match="Did you mean"):
        starting_point("ViT-Ti16", names, None)
    for name in ("lost.keras", "lost.safetensors"):
        with pytest.raises(FileNotFoundError, match="lost"):
            starting_point(name, names, None)


def test_trained_weights_are_fine_tuned(tiny, pets, tmp_path):
    """One call from a file of five classes to a model of the two in the folder."""
    model = tiny(classes=5)
    model.save(tmp_path / "m.keras")
    result = training.fit(
        model=str(tmp_path / "m.keras"),
        data=pets,
        epochs=1,
        batch_size=2,
        precision="mixed_bfloat16",
        learning_rate=0.0,
        output_dir=tmp_path / "run",
        verbose=0,
    )
    trained = keras.saving.load_model(tmp_path / "run" / "best.keras")
    layer = trained.get_layer("block_0")
    same = zip(
        layer.get_weights(), model.get_layer("block_0").get_weights(), strict=True
    )

    assert ("cat", "dog") == result.info.class_names
    assert re.fullmatch(
        r"<Result: .*, best epoch 1 of 1, val_\w+ [\d.]+, in .*>", str(result)
    )
    assert (None, 2) == trained.output_shape and ["cat", "dog"] == trained.labels
    assert "bfloat16" == layer.compute_dtype
    assert all(np.allclose(new, old, atol=1e-3) for new, old in same)


def test_what_was_learnt_without_labels_gets_a_head(tmp_path):
    """Encoder and precision as asked for; without classes to know, a way is told."""
    sizes = {"image_size": 16, "patch_size": 8, "width": 16, "depth": 1, "heads": 2}
    mae = keras_vit.MaskedAutoencoder(
        **sizes, decoder_width=16, decoder_depth=1, decoder_heads=2
    )
    mae.save(tmp_path / "mae.keras")
    name = str(tmp_path / "mae.keras")
    start = starting_point(name, names, "mixed_bfloat16")
    assert (None, 2) == start.output_shape
    block, own = (m.get_layer("block_0") for m in (start, mae.encoder))
    assert "bfloat16" == block.compute_dtype
    assert all(map(np.array_equal, block.get_weights(), own.get_weights()))
    again = starting_point(name, names, "mixed_bfloat16", alone=True)
    assert isinstance(again, keras_vit.MaskedAutoencoder)
    assert "bfloat16" == again.encoder.get_layer("block_0").compute_dtype
    assert all(map(np.array_equal, again.get_weights(), mae.get_weights()))
    with pytest.raises(ValueError, match=r"got .*mae.keras'.*classifier_from\("):
        starting_point(name, None, None)
