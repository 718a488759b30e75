"""What is known of a model's pixels and scores, also through models inside."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vit import Preprocessing
from keras_vit.models.input_range import assumed, stated
from keras_vit.models.output_activation import ending, labels_of, meaning


@pytest.fixture(scope="module")
def inner(tiny):
    """A model that takes ImageNet's range, and says so."""
    note = Preprocessing((32, 32), "imagenet")
    return tiny(depth=1, classes=3, preprocessing=note)


def behind(*steps):
    """A functional model of steps, one after another."""
    x = image = keras.Input((32, 32, 3))
    for step in steps:
        x = step(x)
    return keras.Model(image, x)


def test_a_model_inside_is_found(inner):
    """Sequential, functional and nested twice: its note counts, and that is said."""
    once = keras.Sequential([keras.Input((32, 32, 3)), inner])
    for model in (once, behind(inner, layers.Softmax()), behind(once)):
        note, said = stated(model)
        assert "imagenet" == note.mode and "inside says" in said


@pytest.mark.parametrize(
    ("front", "mode"),
    [
        ([layers.Rescaling(1 / 127.5, offset=-1)], "custom"),
        ([layers.RandomFlip(), layers.Dropout(0.1)], "imagenet"),
        (
            [
                layers.Rescaling(1 / 255),
                layers.Normalization(
                    mean=(0.485, 0.456, 0.406), variance=(0.052441, 0.050176, 0.050625)
                ),
            ],
            "none",
        ),
        ([lambda x: x * 2.0], "custom"),
    ],
)
def test_layers_in_front_are_reckoned_with(front, mode, inner):
    """Pixels through the front and the note inside equal those by the note outside."""
    note, _ = stated(behind(*front, inner))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")

    inside = behind(*front)(note(pixels), training=False)

    assert mode == note.mode
    expected = ops.convert_to_numpy(inner.preprocessing(pixels))
    np.testing.assert_allclose(expected, ops.convert_to_numpy(inside), atol=2e-4)


def test_a_front_that_rescales_takes_pixels():
    """Without any note, a layer that makes few units of 255 levels tells."""
    body = [layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    note, said = stated(behind(layers.Rescaling(1 / 255), *body))
    assert "none" == note.mode and "rescaling" in said
    assert (None, None) == stated(behind(layers.Rescaling(2.0), *body))


def test_what_says_nothing_is_unknown(inner):
    """A clone, a cut and a wrap of tensors have lost the note."""
    clone = keras.models.clone_model(inner)
    cut = keras.Model(inner.input, inner.get_layer("pool").output)
    for model in (clone, cut):
        assert (None, None) == stated(model)
        assert "google" == assumed(model)[0].mode and "a guess" in assumed(model)[1]


def test_two_models_inside_must_agree(inner, tiny):
    """An ensemble of one range has it; of two, none."""
    same = tiny(depth=1, classes=3, name="a", preprocessing=inner.preprocessing)
    other = tiny(depth=1, classes=3, name="b")
    image, mean = keras.Input((32, 32, 3)), layers.Average()
    agreed = keras.Model(image, mean([inner(image), same(image)]))
    mixed = keras.Model(image, mean([inner(image), other(image)]))

    assert "imagenet" == stated(agreed)[0].mode
    assert (None, None) == stated(mixed)


def test_labels_of_a_model_inside(tiny):
    """They belong to its scores, and to nothing that is made of its features."""
    names = ["ant", "bee", "cat"]
    model = tiny(depth=1, classes=3, labels=names)

    assert names == labels_of(behind(model, layers.Softmax()))
    assert names == labels_of(keras.Sequential([keras.Input((32, 32, 3)), model]))
    assert labels_of(behind(model, layers.Dense(3))) is None


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([layers.Dense(3)], "logits"),
        ([layers.Dense(3, activation="softmax")], "softmax"),
        ([layers.Dense(3), layers.Softmax()], "softmax"),
        ([layers.Dense(3), ops.softmax], "softmax"),
        ([layers.Dense(3), layers.Activation("sigmoid")], "sigmoid"),
        ([layers.Dense(3), layers.Activation("linear", dtype="float32")], "logits"),
        ([layers.Dense(3), layers.Activation("log_softmax")], "logits"),
        ([layers.Dense(3), layers.Dropout(0.1), layers.Softmax()], "softmax"),
        ([layers.Dense(3), lambda x: ops.cast(x, "float64")], "logits"),
        ([layers.Reshape((1, 1, 3)), layers.Conv2D(3, 1), layers.Flatten()], "logits"),
        ([layers.EinsumDense("ab,bc->ac", 3)], "logits"),
        ([layers.SpectralNormalization(layers.Dense(3))], "logits"),
        ([layers.Dense(3), lambda x: x / 2.0], "logits"),
        ([layers.Dense(3), layers.Rescaling(0.5), layers.Softmax()], "softmax"),
        ([layers.Dense(3), lambda x: x * -1.0], None),
        ([layers.Dense(3), layers.Softmax(), lambda x: x / 2.0], None),
        ([layers.Dense(3), layers.Softmax(axis=0)], None),
        ([layers.Identity()], None),
    ],
)
def test_meaning_is_found_behind_what_changes_none(steps, expected):
    """Casts, dropout, shapes and layers that only activate are looked through."""
    features = [layers.GlobalAveragePooling2D()]
    model = behind(*features, *steps)
    nested = behind(model, layers.Dropout(0.1))

    assert expected == meaning(model.outputs[0]) == meaning(nested.outputs[0])
    assert (expected or "logits") == ending(nested)
