"""What a run starts from when it is given a name or a file."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import training, weights
from keras_vit.models.resize import KERNEL
from keras_vit.preprocess import Preprocessing
from keras_vit.training.checkpoint.train_state import TrainState
from keras_vit.training.init_from import initial_model, read_model
from keras_vit.training.input_pipeline import open_feeds
from keras_vit.training.recipes import for_side
from keras_vit.weights import resample


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
    """As `read_model` asks for them."""
    return "folder:pets", ("cat", "dog")


def test_trained_weights_get_a_head_for_the_data(tiny, tmp_path):
    """Where the classes are others, in number, in name or in order."""
    path = tmp_path / "m.keras"
    for labels, kept in (("Cat dog", True), ("dog cat", False), ("ant bee", False)):
        model = tiny(classes=2, labels=labels.split())
        model.save(path)
        start = read_model(str(path), names, None)

        same = np.array_equal(
            model.get_layer("head").get_weights()[0],
            start.get_layer("head").get_weights()[0],
        )
        assert kept == same and (None, 2) == start.output_shape
    tiny(classes=5).save(path)
    start = read_model(str(path), names, "mixed_bfloat16")
    assert (None, 2) == start.output_shape
    assert "bfloat16" == start.get_layer("block_1").compute_dtype
    assert (None, 5) == read_model(str(path), None, None).output_shape


def test_a_name_is_built_for_the_data():
    """`fit` does that; a name that is none has a proposal, a file must be there."""
    assert read_model("ViT-Ti/16", names, None) is None
    with pytest.raises(ValueError, match="Did you mean"):
        read_model("ViT-Ti16", names, None)
    with pytest.raises(ValueError, match="Did you mean 'ViT_Ti16.augreg_in21k_224'"):
        read_model("ViT_Ti16.augreg_in21k", names, None)
    for name in ("lost.keras", "lost.safetensors"):
        with pytest.raises(FileNotFoundError, match="lost"):
            read_model(name, names, None)


@pytest.mark.parametrize("position", ["learned", "learned2d", "sincos2d"])
def test_a_file_is_rebuilt_for_the_size_of_the_recipe(tiny, pets, tmp_path, position):
    """Positions are resampled, everything else is as it was."""
    model = tiny(classes=2, position=position, registers=1)
    model.preprocessing = Preprocessing(image_size=(32, 32), mode="imagenet")
    model.save(tmp_path / "m.keras")
    recipe = training.get_recipe("vit_finetune_vtab", image_size=(64, 32))
    recipe = recipe.override(model=str(tmp_path / "m.keras"))
    _, resized, origin = initial_model(
        recipe, tmp_path / "m.keras", pets, "vit_finetune_vtab"
    )
    image = np.ones((1, 64, 32, 3), "float32")
    assert f"file {tmp_path / 'm.keras'}" in origin and "to 64x32 px" in origin

    assert (None, 64, 32, 3) == resized.input_shape and (1, 2) == resized(image).shape
    assert ((64, 32), "imagenet") == (
        resized.preprocessing.image_size,
        resized.preprocessing.mode,
    )
    for old, new in zip(model.weights, resized.weights, strict=True):
        expected, name = old.numpy(), old.path.rpartition("/")[2]
        if name == "rows":
            expected = np.moveaxis(expected, 1, 0)
            expected = resample.positions(expected, (4, 1), (8, 1), 0, KERNEL)
            expected = np.moveaxis(expected, 0, 1)
        elif name == "embedding":
            expected = resample.positions(expected, (4, 4), (8, 4), 2, KERNEL)
        np.testing.assert_allclose(expected, new.numpy(), atol=1e-6)


def test_a_checkpoint_is_resampled_in_the_way_of_its_family(tiny, tmp_path):
    """As `from_checkpoint` does."""
    path = tmp_path / "m.safetensors"
    weights.save_checkpoint(tiny(classes=2), path)
    resized = read_model(str(path), names, None, image_size=64)
    expected = weights.from_checkpoint(path, image_size=64, verbose=0)

    assert all(map(np.array_equal, resized.get_weights(), expected.get_weights()))


def test_what_cannot_be_rebuilt_is_refused(tiny, tmp_path):
    """The message has both sizes and the way to keep the model's own."""
    path = str(tmp_path / "m.keras")
    layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
    plain = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    colours = np.linspace(-1, 1, 24).reshape(8, 3)
    small = {"image_size": 32, "width": 8, "depth": 1, "heads": 2}
    gpt = keras_vit.ImageGPT(**small, colors=8, palette=colours)
    for model, size, reason in (
        (keras_vit.classifier_from(gpt, 2), 64, "an image GPT reads pixels of one"),
        (plain, 64, "only learned positions may depend"),
        (tiny(classes=2, position="relative"), 64, "only learned positions"),
        (tiny(classes=2), 60, "whole patches, got 60x60 px.*multiples of 8x8"),
    ):
        model.save(path)
        wanted = f"wants {size}x{size} px, got .*for 32x32 px.*{reason}.*size=None"
        with pytest.raises(ValueError, match=wanted):
            read_model(path, names, None, image_size=size)
    plain.save(path)  # knows no labels
    assert (None, 2) == read_model(path, names, None, image_size=32).output_shape


def test_a_model_that_is_given_keeps_its_size(tiny, capsys):
    """That is said; a resize of the recipe's own has the same share as there."""
    recipe = training.get_recipe("bit_hyperrule", batch_size=32)
    opened = open_feeds("digits", recipe, tiny(classes=10), 1, TrainState())

    assert "images: 32x32 px, the size of the model" in capsys.readouterr().out
    assert ((32, 32), "resize_crop(37)|flip") == (
        opened.info.image_size,
        opened.info.augment,
    )
    other = recipe.override(augment="resize_crop(40)|flip", image_size=32)
    assert other == for_side(other, 32)


def test_trained_weights_are_fine_tuned(tiny, pets, tmp_path):
    """One call from a file of five classes to a model of the two in the folder."""
    model = tiny(classes=5, depth=1)
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
    start = read_model(name, names, "mixed_bfloat16")
    assert (None, 2) == start.output_shape
    block, own = (m.get_layer("block_0") for m in (start, mae.encoder))
    assert "bfloat16" == block.compute_dtype
    assert all(map(np.array_equal, block.get_weights(), own.get_weights()))
    again = read_model(name, names, "mixed_bfloat16", alone=True)
    assert isinstance(again, keras_vit.MaskedAutoencoder)
    assert "bfloat16" == again.encoder.get_layer("block_0").compute_dtype
    assert all(map(np.array_equal, again.get_weights(), mae.get_weights()))
    with pytest.raises(ValueError, match=r"got .*mae.keras'.*classifier_from\("):
        read_model(name, None, None)


def test_a_model_that_is_given_gets_a_head_as_its_file_does(tiny, tmp_path):
    """Where the classes are others; the model itself stays as it was."""
    recipe, three = training.get_recipe("finetune"), ("ant", "bee", "cat")
    data = {"train": (np.zeros((6, 32, 32, 3), "uint8"), np.arange(6) % 3)}
    for labels, named, head in (
        (list("abcde"), three, True),
        (["bee", "ant", "cat"], three, True),
        (["ant", "bee", "cat"], three, False),
        (["x", "y", "z"], None, False),  # numbers alone mean no other classes
    ):
        model = tiny(classes=len(labels), labels=labels, depth=1)
        given = data if named is None else {**data, "class_names": named}
        _, found, origin = initial_model(recipe, model, given, "finetune")

        assert head == (found is not model) == ("new head for 3 classes" in origin)
        assert (None, 3) == found.output_shape and labels == model.labels


def test_where_weights_come_from_is_told(tiny, tmp_path):
    """A file, a run, a model that was never trained, one that was."""
    model = tiny(classes=2, depth=1)
    model.save(tmp_path / "best.keras")
    recipe = training.get_recipe("finetune", model=str(tmp_path))
    data = {"train": (np.zeros((4, 32, 32, 3), "uint8"), np.arange(4) % 2)}
    origin = initial_model(recipe, tmp_path, data, recipe)[2]
    assert f"file {tmp_path / 'best.keras'}" == origin
    new = keras_vit.create("mu/16", classes=2, input_shape=(32, 32, 3))
    assert "RANDOM" in initial_model(recipe, new, data, "finetune")[2]
    origin = initial_model(recipe, model, data, "finetune")[2]
    assert "of the model that was given" in origin


@pytest.mark.parametrize("model", ["ViT-Ti/16", {"width": 16}])
def test_random_weights_must_be_asked_for(model):
    """Where a recipe goes on from trained ones; the way out is told."""
    recipe = training.get_recipe("finetune", model=model)
    with pytest.raises(ValueError, match="RANDOM.*'ViT_Ti16.*random_weights=True"):
        initial_model(recipe, model, "digits", "finetune")
    asked = recipe.override(random_weights=True)
    assert initial_model(asked, model, "digits", "finetune")[2].startswith("RANDOM, ")
    own = training.get_recipe("digits")
    assert initial_model(own, None, None, "digits")[2].startswith("RANDOM, ")


def test_something_must_be_left_to_train(tiny):
    """All layers frozen is told before anything slow; a new head learns alone."""
    model = tiny(classes=2, depth=1)
    model.trainable = False
    data = np.zeros((6, 32, 32, 3), "uint8"), np.arange(6) % 2
    with pytest.raises(ValueError, match="'vit', whose layers are all frozen"):
        training.fit("finetune", model, data, verbose=0)
    new = keras_vit.models.adapt(model, classes=3)
    assert ["head/kernel", "head/bias"] == [w.path for w in new.trainable_weights]
