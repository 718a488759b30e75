import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import training, weights
from keras_vit.training import build_model, input_pipeline, recipes
from keras_vit.training.checkpoint.train_state import TrainState
from keras_vit.training.input_pipeline import length
from keras_vit.training.loop import apply_arguments
from keras_vit.training.optim import schedules
from keras_vit.training.optim.compile import compile_model
from keras_vit.training.recipe_train_step import make_trainee
from keras_vit.training.recipes import Recipe

TINY = {"patch_size": 8, "depth": 1, "width": 16, "heads": 2, "mlp_dim": 32}
OWN = (
    "representation_size", "head_bias", "pooling", "position", "layer_scale",
    "drop_path", "dropout", "activation",
)  # fmt: skip
# What digits cannot give to a recipe for a million images.
SMALL = {"data": "digits", "batch_size": 16, "image_size": 32, "warmup": 0.1}
QUICK = ("deit_distilled", "bit_hyperrule")
STEPS = {  # name -> updates on a set of its own size, images
    "vit_i1k": (93_600, 1_281_167),
    "vit_s16_i1k": (111_420, 1_268_355),
    "deit": (375_300, 1_281_167),
    "mae_finetune": (125_100, 1_281_167),
    "vit_finetune_pets": (500, 3_680),
    "vit_finetune_cifar10": (10_000, 49_000),
    "bit_hyperrule": (10_000, 45_000),
}


@pytest.fixture(scope="module")
def teacher():
    """A model of ten classes and of its own kind."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers])


def shrink(recipe):
    """The recipe on digits, small, with all that is not size."""
    given = recipe.model if isinstance(recipe.model, dict) else {}
    model = {**TINY, **{name: given[name] for name in OWN if name in given}}
    model["distilled"] = recipe.distillation is not None
    if recipe.name in ("simclr", "moco_v3"):  # the data give them pairs of views
        model = {**TINY, "kind": given["kind"]}
    steps = {"steps": 2} if recipe.steps else {"epochs": 1}
    return recipe.override(model=model, **steps, **SMALL)


def take_one_step(name, teacher):
    """Everything that `fit` does, up to one update: weights before and after."""
    recipe = shrink(training.get_recipe(name))
    named = {} if recipe.distillation is None else {"teacher": "teacher"}
    recipe, data = apply_arguments(recipe, None, None, None, named)
    opened = input_pipeline.open_feeds(data, recipe, None, 0, TrainState())
    strategy = tf.distribute.get_strategy()
    model = build_model.prepare_model(None, recipe, opened.info)
    asked = teacher if named else None
    trainee = make_trainee(model, opened, asked, strategy)
    compile_model(trainee, opened.recipe, opened)
    before = [v.numpy() for v in model.trainable_weights]
    images, labels = next(iter(opened.train))
    trainee.optimizer.iterations.assign(1)  # at 0 the rate is 0
    found, seen = trainee.gradients(trainee.preprocess_inputs(images), labels, None)
    trainee.update(found, 1)
    return before, [v.numpy() for v in model.trainable_weights], float(seen["loss"])


def check_one_step(name, teacher):
    """Finite numbers, and something moved."""
    before, after, loss = take_one_step(name, teacher)
    assert np.isfinite(loss)
    assert all(np.isfinite(array).all() for array in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_takes_a_step(name, teacher):
    """On digits, with a small model."""
    check_one_step(name, teacher)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(training.list_recipes()) - set(QUICK)))
def test_every_other_recipe_takes_a_step_too(name, teacher):
    """The rest of them."""
    check_one_step(name, teacher)


@pytest.mark.parametrize("name", STEPS)
def test_a_recipe_is_as_long_as_its_paper_says(name):
    """In whole batches; its rate starts at 0 or DeiT's 1e-6 and reaches its peak."""
    expected, images = STEPS[name]
    recipe = recipes.for_data(training.get_recipe(name), images)
    epochs, steps = length(recipe, images // recipe.batch_size)
    schedule = schedules.make_schedule(recipe, epochs, steps)
    rates = np.asarray(schedule(np.arange(epochs * steps)))

    assert expected == epochs * steps
    assert 0 <= rates[0] <= 1e-6 and rates.max() == pytest.approx(
        recipe.learning_rate, rel=2e-3
    )


@pytest.mark.parametrize("name", training.list_recipes())
def test_a_recipe_has_a_page(name):
    """With a command, and scores marked as published or as measured."""
    page = recipes.describe(name)
    assert len(page.split("\n")[0]) < 80
    assert "keras-vit train" in page or "training.fit(" in page
    if name in ("digits", "finetune", "cifar10"):
        assert "Measured: " in page and "CPU time" in page
    else:
        assert all(word in page for word in ("Cost: ", "Published", "not run here"))
        assert "Source: " in page


def test_the_call_on_the_page_of_mae_builds_its_classifier(shared):
    """The norm behind the mean, as in the reference, and drop path on the way."""
    file = shared / "fixtures/checkpoints/facebook_mae_pretrain.safetensors"
    options = {"pooling": "gap", "norm_pooled": True, "drop_path": 0.1}
    model = weights.from_checkpoint(file, heads=3, classes=5, verbose=0, **options)
    page = recipes.describe("mae_finetune")

    assert ["pool", "fc_norm", "head"] == [layer.name for layer in model.layers[-3:]]
    assert 0.1 == max(getattr(x, "drop_path", 0) for x in model.layers)
    assert 'pooling="gap",\n        norm_pooled=True, drop_path=0.1' in page


def test_the_rate_follows_the_batch_by_the_rule_of_the_recipe():
    """Unless it is given as well."""
    mae, lamb = training.get_recipe("mae_finetune"), training.get_recipe("deit3")

    assert 5e-4 == pytest.approx(mae.override(batch_size=256).learning_rate)
    assert 1e-3 == mae.override(batch_size=256, learning_rate=1e-3).learning_rate
    assert lamb.learning_rate == lamb.override(batch_size=64).learning_rate
    root = Recipe(name="x", scaling="sqrt", learning_rate=0.1, batch_size=64)
    assert 0.2 == pytest.approx(root.override(batch_size=256).learning_rate)


@pytest.mark.parametrize(
    ("images", "steps", "drops", "mixup"),
    [
        (19_999, 500, [200, 300, 400], 0.0),
        (20_000, 10_000, [3_000, 6_000, 9_000], 0.1),
        (500_000, 20_000, [6_000, 12_000, 18_000], 0.1),
    ],
)
def test_the_hyperrule_goes_by_the_number_of_images(images, steps, drops, mixup):
    """Three kinds of data sets."""
    recipe = recipes.for_data(training.get_recipe("bit_hyperrule"), images)
    schedule = schedules.make_schedule(recipe, *length(recipe, images // 512))

    assert (steps, mixup) == (recipe.steps, recipe.mixup)
    assert (drops, steps) == (schedule.drop_steps, schedule.total_steps)
    assert 3e-4 == pytest.approx(float(schedule(drops[0] + 1)))


def test_steps_are_cut_into_stretches_that_come_near_to_passes():
    """Their number is exact."""
    for steps, per_epoch in ((10_000, 97), (500, 6), (7, 3), (20_000, 2_502)):
        epochs, each = length(Recipe(name="x", steps=steps), per_epoch)
        assert steps == epochs * each
        assert 0.4 < each / per_epoch < 2.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: must be a whole number, at least 1, got 0. .*10000"),
        ({"lora": 0}, "lora: must be .*got 0. Pass lora=8"),
        ({"freeze": "norm"}, "freeze: must be a tuple.*got 'norm'.*freeze=\\('norm',"),
        ({"freeze": ("(",)}, "freeze: must have regular expressions.*'\\('"),
        ({"lora": 2, "freeze": ("a",)}, "lora: freezes the model by itself.*Leave one"),
        ({"rates": {"a": -1.0}}, "rates: must have factors of 0 or more, got -1.0"),
        ({"sharpness": {"rho": 0.0}}, "sharpness: rho must be above 0, got 0.0"),
        ({"sharpness": {"r": 1}}, "sharpness: takes rho, rho_min, alpha, got 'r'"),
        ({"distillation": {"weight": 2}}, "weight must be 0 to 1, got 2. Use 0.5"),
        ({"distillation": {"kind": "x"}}, "kind must be one of.*'hard', 'soft'.*'x'"),
        ({"remat": True, "sharpness": {}}, "remat: must be False with sharpness"),
        ({"data_rule": "x"}, "data_rule: must be one of None, 'bit_hyperrule'"),
        ({"progressive": ((0.5, 8),)}, "progressive: must be pairs.*got \\(\\(0.5, 8"),
        ({"progressive": ((0, 8),), "teacher": "t"}, "does not go with a teacher"),
        ({"scaling": "x"}, "scaling: must be one of 'none', 'linear', 'sqrt'"),
    ],
)
def test_what_a_recipe_cannot_be_is_refused_at_once(change, message):
    """Before data or models."""
    with pytest.raises(ValueError, match=message):
        Recipe(name="x", **change)


def test_a_recipe_that_learns_from_a_teacher_needs_one():
    """The message says how to pass it."""
    with pytest.raises(ValueError, match="learns from a teacher.*teacher='teacher.ker"):
        apply_arguments("deit_distilled", None, None, None, {})
    with pytest.raises(
        FileNotFoundError, match="teacher: no.keras: must.*Check the path"
    ):
        apply_arguments("deit_distilled", None, None, None, {"teacher": "no.keras"})
