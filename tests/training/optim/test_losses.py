import keras
import numpy as np
import pytest

from keras_vit.training.optim import losses
from keras_vit.training.recipes import Recipe


def sigmoid(z):
    """Of an array."""
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize(
    ("options", "gather"),
    [
        ({}, np.sum),
        ({"mean_of_classes": True}, np.mean),
        ({"binary_targets": True}, np.sum),
    ],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sigmoid_crossentropy_follows_the_formula(options, gather, smoothing):
    """For labels and for mixed targets, also after its configuration."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((6, 4)).astype("float32")
    labels = rng.integers(0, 4, 6)
    mixed = 0.3 * np.eye(4)[labels] + 0.7 * np.eye(4)[labels[::-1]]
    loss = losses.SigmoidCrossentropy(smoothing, **options)
    again = losses.SigmoidCrossentropy.from_config(loss.get_config())
    for given, y in ((labels, np.eye(4)[labels]), (mixed, mixed)):
        y = (y > 0).astype(float) if options.get("binary_targets") else y
        y = y * (1 - smoothing) + smoothing / 4
        p = sigmoid(logits)
        expected = gather(-(y * np.log(p) + (1 - y) * np.log(1 - p)), axis=1).mean()

        assert expected == pytest.approx(float(loss(given, logits)), rel=1e-5)
        assert expected == pytest.approx(float(again(given, logits)), rel=1e-5)


def test_distillation_equals_the_recorded_losses(shared):
    """DeiT's code, hard and soft."""
    with np.load(shared / "fixtures/golden/misc.npz") as file:
        names = ("cls", "dist", "teacher", "labels", "hard_a0.5", "soft_a0.1_tau3")
        own, told, teacher, labels, hard, soft = (file[f"distill/{n}"] for n in names)
    first = float(losses.SoftmaxCrossentropy()(labels, own))
    second = float(np.mean(losses.hard_distillation(teacher, told)))
    third = float(np.mean(losses.soft_distillation(teacher, told, 3.0)))

    assert float(hard) == pytest.approx(0.5 * first + 0.5 * second, abs=1e-6)
    assert float(soft) == pytest.approx(0.9 * first + 0.1 * third, abs=1e-6)


def test_soft_distillation_can_be_summed_over_classes():
    """Hinton's and the paper's, rather than that of the code."""
    logits = keras.ops.convert_to_tensor([[1.0, 2.0, 0.5]])
    mean, total = (
        float(losses.soft_distillation(logits, logits[:, ::-1], 2.0, how)[0])
        for how in (True, False)
    )

    assert total == pytest.approx(3 * mean)


def test_a_sigmoid_loss_needs_logits():
    """The message says how to get them."""
    recipe = Recipe(name="x", loss="sigmoid")
    with pytest.raises(ValueError, match="needs logits.*classifier_activation=None"):
        losses.make_loss(recipe, "softmax")
    with pytest.raises(ValueError, match="got a model that ends in a sigmoid"):
        losses.make_loss(Recipe(name="x"), "sigmoid")
    assert isinstance(losses.make_loss(recipe, "logits"), losses.SigmoidCrossentropy)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sigmid", "loss: must be one of softmax, sigmoid.*Did you mean 'sigmoid'"),
        ({"name": "softmax", "x": 1}, "'softmax' takes no options, got 'x'"),
    ],
)
def test_what_is_no_loss_is_refused_with_the_recipe(given, message):
    """Before any data are read."""
    with pytest.raises(ValueError, match=message):
        Recipe(name="x", loss=given)
