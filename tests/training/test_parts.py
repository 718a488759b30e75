import types

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import training
from keras_vit.training.checkpoint import model_callbacks, run_folder
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.optim import losses, optimizers
from keras_vit.training.recipes import RECIPES, Recipe


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [True, False])
def test_softmax_crossentropy_follows_the_formula(smoothing, from_logits):
    """For labels and for one-hot targets alike."""
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    expected = -(target * log_p).sum(axis=1).mean()
    loss = losses.SoftmaxCrossentropy(smoothing, from_logits)
    again = losses.SoftmaxCrossentropy.from_config(loss.get_config())
    given = logits if from_logits else np.exp(log_p)

    for y_true in (labels, np.eye(4)[labels]):
        assert expected == pytest.approx(float(loss(y_true, given)), abs=1e-5)
        assert expected == pytest.approx(float(again(y_true, given)), abs=1e-5)


@pytest.fixture(scope="module")
def rich():
    """A small model with every kind of weight."""
    return keras_vit.VisionTransformer(
        image_size=16, patch_size=8, width=8, depth=1, heads=2, mlp_dim=8, classes=3,
        registers=1, layer_scale=0.1, qk_norm=True,
    )  # fmt: skip


def test_only_kernels_decay(rich):
    """With no gradient, kernels shrink by lr * decay and nothing else moves."""
    recipe = Recipe(name="x", weight_decay=0.1)
    optimizer = optimizers.make_optimizer(recipe, 0.5, rich)
    variables = rich.trainable_variables
    before = [v.numpy().copy() + 0 for v in variables]
    optimizer.apply([v * 0.0 for v in variables], variables)

    names = {v.name for v in variables if optimizers.decays(v)}
    assert {"kernel"} == names
    assert {"bias", "class_token", "registers", "embedding", "gamma"} < {
        v.name for v in variables
    }
    for old, v in zip(before, variables, strict=True):
        factor = 1 - 0.5 * 0.1 if v.name == "kernel" else 1.0
        np.testing.assert_allclose(v.numpy(), old * factor, atol=1e-7)
        v.assign(old)


def test_gradients_are_clipped_together(rich):
    """The first moment holds a tenth of gradients of norm 1."""
    recipe = Recipe(name="x", clipnorm=1.0)
    optimizer = optimizers.make_optimizer(recipe, 0.0, rich)
    variables = rich.trainable_variables
    optimizer.apply([v * 0.0 + 3.0 for v in variables], variables)
    moments = [v.numpy() for v in optimizer.variables if "first" in v.path]

    norm = np.sqrt(sum((m**2).sum() for m in moments))
    assert 0.1 == pytest.approx(norm, rel=1e-3)


def test_float16_models_get_their_loss_scaled(rich):
    """And only those."""
    recipe = Recipe(name="x")
    half = keras_vit.VisionTransformer(
        image_size=16, patch_size=8, width=8, depth=1, heads=2, mlp_dim=8, classes=3,
        dtype="mixed_float16",
    )  # fmt: skip
    scaled = optimizers.make_optimizer(recipe, 0.1, half)

    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    assert 1.0 == scaled.inner_optimizer.global_clipnorm
    plain = optimizers.make_optimizer(recipe, 0.1, rich)
    assert not isinstance(plain, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize(("devices", "batch", "fits"), [(2, 33, 34), (4, 6, 8)])
def test_a_batch_that_cannot_be_dealt_out_is_refused(devices, batch, fits):
    """The message has a batch size that can."""
    strategy = types.SimpleNamespace(num_replicas_in_sync=devices)
    with pytest.raises(ValueError, match=f"{devices}.*got {batch}.*batch_size={fits}"):
        strategies.check(Recipe(name="x", batch_size=batch), strategy)
    strategies.check(Recipe(name="x", batch_size=fits), strategy)


def test_recipes_are_listed_and_changed_by_field():
    """An override makes another recipe; the listed one stays."""
    changed = training.get_recipe("digits", epochs=3, seed=5)

    assert sorted(RECIPES) == training.list_recipes()
    assert (3, 5) == (changed.epochs, changed.seed)
    assert 3 != training.get_recipe("digits").epochs
    assert changed == training.get_recipe(changed)


def test_a_recipe_is_listed_under_its_own_name():
    """The table and the records agree."""
    assert list(RECIPES) == [recipe.name for recipe in RECIPES.values()]


class Scripted:
    """A model that gives prepared answers, batch by batch."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def predict_on_batch(self, images):
        return np.array(self.answers.pop(0), "float32")


def test_top_k_counts_exactly_over_uneven_batches():
    """Each image counts once, whatever batch it came in."""
    model = Scripted([[3, 2, 1], [1, 2, 3], [1, 3, 2]], [[0, 0, 1]])
    data = [(None, np.array([0, 0, 0])), (None, np.array([1]))]
    scores = training.evaluate.top_k(model, data, k=(1, 2, 5), verbose=0)

    assert {"top1": 0.25, "top2": 0.25, "top5": 1.0, "count": 4} == scores


def test_top_k_takes_one_hot_labels_and_breaks_ties_as_argmax_does():
    """Among equals the first class wins."""
    model = Scripted([[1, 1, 0], [1, 1, 0]])
    data = [(None, np.eye(3)[[0, 1]])]

    assert 0.5 == training.evaluate.top_k(model, data, k=1, verbose=0)["top1"]


def test_top_k_counts_nan_as_wrong():
    """A broken model has no score."""
    model = Scripted([[np.nan] * 3, [np.nan, 0, 1]])
    data = [(None, np.array([0, 2]))]

    assert 0.0 == training.evaluate.top_k(model, data, k=1, verbose=0)["top1"]


@pytest.mark.parametrize(
    ("data", "k", "message"),
    [
        ([], 1, "must hold an image, got none"),
        ([(None, np.array([5]))], 1, "labels: must be from 0 to 2.*got 5 to 5"),
        ([(None, np.array([3]))], 1, "counted from 1: pass labels - 1"),
        ([(None, np.array([0]))], 0, "k: must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_scored_is_explained(data, k, message):
    """The message has the value."""
    with pytest.raises(ValueError, match=message):
        training.evaluate.top_k(Scripted([[1, 2, 3]]), data, k=k, verbose=0)


@pytest.mark.parametrize(("monitor", "best"), [("val_top1", 2), ("val_loss", 3)])
def test_the_best_epoch_is_that_of_the_monitored_score(monitor, best, tmp_path):
    """Top-1 counts upwards, the loss downwards; the later of two equals wins."""
    keeper = model_callbacks.KeepModels(run_folder.RunFolder(tmp_path), monitor)
    keeper.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    epochs = [(0.5, 3.0), (0.9, 2.0), (0.8, 1.0)]

    for epoch, (top1, loss) in enumerate(epochs):
        keeper.on_epoch_end(epoch, {"val_top1": top1, "val_loss": loss})

    assert best == keeper.best.epoch
