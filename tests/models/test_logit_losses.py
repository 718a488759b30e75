"""Losses of probabilities on models that give logits."""

import keras
import numpy as np
import pytest

LABELS = np.array([0, 1, 2, 1])
LOSSES = [
    "sparse_categorical_crossentropy",
    "SparseCategoricalCrossentropy",
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.SparseCategoricalCrossentropy(),
    ["sparse_categorical_crossentropy"],
    {"head": "sparse_categorical_crossentropy"},
]


@pytest.fixture(scope="module")
def model(tiny):
    """Three classes, logits."""
    return tiny(classes=3, depth=1)


def value(model, images, labels=LABELS):
    """The compiled loss."""
    images = keras.ops.convert_to_tensor(images)
    scores = model(images, training=False)
    return float(model.compute_loss(images, keras.ops.array(labels), scores))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crossentropy_is_one_of_logits(model, images, loss):
    """However it is asked for; it is said, and the value is that of from_logits."""
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = value(model, images)
    with pytest.warns(UserWarning, match="gives logits, and .* never learn"):
        model.compile(loss=loss)

    assert expected == pytest.approx(value(model, images), rel=1e-6)


@pytest.mark.parametrize(
    "name", ["categorical_crossentropy", "binary_crossentropy", "BinaryCrossentropy"]
)
def test_the_others_too(model, images, name):
    """One-hot labels, and each class on its own."""
    with pytest.warns(UserWarning, match=f"{name}.*from_logits=True"):
        model.compile(loss=name, metrics=[name])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    if "binary" in name.lower():
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
    labels = np.eye(3, dtype="float32")[LABELS]
    expected = loss(labels, model(images, training=False))

    assert float(expected) == pytest.approx(value(model, images, labels), rel=1e-6)


def test_what_is_right_is_left_alone(tiny, model, images):
    """No warning where logits are expected, or probabilities are given."""
    told = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss in (told, "mse", "categorical_hinge", None):
        model.compile(loss=loss, metrics=["accuracy"])
        assert "accuracy" == model._compile_config.config["metrics"][0]
    soft = tiny(classes=3, depth=1, classifier_activation="softmax")
    soft.compile(loss="sparse_categorical_crossentropy")

    assert "sparse_categorical_crossentropy" == soft.loss


def test_both_heads_of_a_distilled_model_give_logits(tiny):
    """Their mean does too; features do not."""
    with pytest.warns(UserWarning, match="from_logits=True"):
        tiny(distilled=True, depth=1).compile(loss="sparse_categorical_crossentropy")
    tiny(include_top=False, depth=1).compile(loss="binary_crossentropy")


def test_a_loss_that_cannot_be_told_is_refused(model):
    """The way out is a softmax."""
    with pytest.raises(ValueError, match="kl_divergence compares.*'softmax'"):
        model.compile(loss="kl_divergence")


def test_a_compiled_model_comes_back_compiled(model, tmp_path):
    """With the loss that was taken, and without a second warning."""
    with pytest.warns(UserWarning, match="from_logits=True"):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    assert loaded.compiled and loaded.loss.from_logits and loaded.optimizer.built


def _around(model):
    image = keras.Input((32, 32, 3))
    return keras.Model(image, model(image))


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX trains without telling what calls us"
)
@pytest.mark.parametrize(
    "wrap", [_around, lambda m: keras.Sequential([keras.Input((32, 32, 3)), m])]
)
def test_a_model_around_ours_is_told_when_it_trains(model, images, wrap):
    """Keras compiles it alone; the first step warns, and only where it must."""
    outer = wrap(model)
    outer.compile(loss="sparse_categorical_crossentropy", jit_compile=False)
    with pytest.warns(UserWarning, match="compiled around 'vit', gives logits.*from_"):
        outer.train_on_batch(images, LABELS)
    outer.evaluate(images, LABELS, verbose=0)

    told = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for right, loss in (
        (outer, told),
        (
            keras.Sequential([outer, keras.layers.Softmax()]),
            "sparse_categorical_crossentropy",
        ),
    ):
        right.compile(loss=loss, run_eagerly=True)
        right.train_on_batch(images, LABELS)


def test_training_ends_with_the_training(tiny, images):
    """What is called after `fit` runs as in inference, on every backend."""
    fitted = tiny(depth=1)
    fitted.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitted.fit(images, LABELS, verbose=0)
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])

    assert np.all(keras.ops.convert_to_numpy(other(np.ones((4, 3)))) == 1)
