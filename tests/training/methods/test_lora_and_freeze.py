import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.models import generate
from keras_vit.training.methods import lora_and_freeze, remat
from keras_vit.training.optim import losses, param_groups

LABELS = np.arange(8) % 3


def make_model(**options):
    """A small model with random numbers inside."""
    keras.utils.set_random_seed(1)
    model = keras_vit.VisionTransformer(
        image_size=16, patch_size=8, width=16, depth=2, heads=2, mlp_dim=32, classes=3,
        **options,
    )  # fmt: skip
    head = model.get_layer("head").kernel
    head.assign(np.random.default_rng(3).standard_normal(head.shape))
    return model


@pytest.fixture(scope="module")
def images():
    """Eight of them."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((8, 16, 16, 3)).astype("float32")


def train(model, images, run_eagerly=True):
    """Four steps of plain descent: losses and weights."""
    rule, loss = keras.optimizers.SGD(0.1), losses.SoftmaxCrossentropy()
    model.compile(rule, loss, run_eagerly=run_eagerly)
    history = model.fit(
        images, LABELS, batch_size=4, epochs=2, verbose=0, shuffle=False
    )
    return history.history["loss"], model.get_weights()


def test_computing_again_changes_nothing_but_memory(images):
    """With dropout and drop path; the seeds end where they would have ended."""
    model, slim = (make_model(dropout=0.2, drop_path=0.3) for _ in range(2))
    remat.rematerialize(slim)
    expected, got = (train(m, images, run_eagerly=False) for m in (model, slim))
    remat.restore(slim)

    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    for a, b in zip(model.variables, slim.variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), atol=1e-6, err_msg=a.path)
    assert "call" not in vars(slim.get_layer("block_0"))


def test_frozen_layers_stay_and_the_file_says_so(images, tmp_path):
    """Layers inside a frozen block included."""
    model = make_model()
    lora_and_freeze.freeze(model, ("block_0/", "patch_encoder"))
    before = {v.path: v.numpy() for v in model.weights}
    train(model, images)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")

    moved = {v.path for v in model.weights if (v.numpy() != before[v.path]).any()}
    assert moved == {v.path for v in model.trainable_variables}
    assert {"block_1", "norm", "head"} == {path.split("/")[0] for path in moved}
    assert moved == {v.path for v in again.trainable_variables}


def test_adapters_learn_and_become_part_of_the_kernels(images, tmp_path):
    """Merged and saved models answer as the trained one, without adapters."""
    model = make_model()
    kernel = model.get_layer("block_0").mlp.fc1._kernel.numpy()
    assert 8 == lora_and_freeze.add_lora(model, 2)
    train(model, images)
    merged = lora_and_freeze.merge_lora(model)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    expected = model.predict(images, verbose=0)

    learnt = {v.name for v in model.trainable_variables}
    assert {"lora_kernel_a", "lora_kernel_b", "bias", "kernel"} == learnt
    np.testing.assert_array_equal(model.get_layer("block_0").mlp.fc1._kernel, kernel)
    assert len(make_model().weights) == len(merged.weights)
    assert len(merged.weights) == len(merged.trainable_weights)
    for other in (merged, again):
        np.testing.assert_allclose(
            other.predict(images, verbose=0), expected, atol=1e-6
        )


def test_layers_learn_more_slowly_towards_the_image():
    """MAE's rule: decay to the power of the distance from the head."""
    model = make_model()
    found = param_groups.layer_rates(model, 0.5)
    expected = {"patch_encoder": 0.125, "block_0": 0.25, "block_1": 0.5, "norm": 1.0}

    for v in model.trainable_variables:
        wanted = expected.get(v.path.split("/")[0], 1.0)
        assert wanted == param_groups.factor(found, v.path, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: lora_and_freeze.freeze(m, ("blok",)),
            "freeze: .*got 'blok'.*Paths look like",
        ),
        (
            lambda m: lora_and_freeze.freeze(m, ("",)),
            "must leave a weight to train.*Take one",
        ),
        (
            lambda m: lora_and_freeze.add_lora(m, 2, "nothing"),
            "lora: needs dense.*freeze=",
        ),
        (
            lambda m: param_groups.check_patterns("rates", ["x1"], m.variables),
            "rates: .*'x1'",
        ),
    ],
)
def test_patterns_that_do_nothing_are_refused(call, message):
    """With what there is."""
    with pytest.raises(ValueError, match=message):
        call(make_model())


def test_an_image_gpt_can_compute_again():
    """The same weights, blocks that look again, and painting with a memory."""
    sizes = {"image_size": 4, "width": 16, "depth": 2, "heads": 2, "colors": 8}
    model, slim = (keras_vit.ImageGPT(**sizes) for _ in range(2))
    model.head.kernel.assign(keras.random.normal((16, 8), seed=0))
    slim.set_weights(model.get_weights())
    remat.rematerialize(slim)
    pixels = np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 3)).astype("float32")
    for one in (model, slim):
        one.compile(keras.optimizers.SGD(0.1))
        one.fit(pixels, batch_size=4, epochs=2, verbose=0, shuffle=False)
    painted = generate.sample(slim, verbose=0)
    remat.restore(slim)

    for a, b in zip(model.get_weights(), slim.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)
    np.testing.assert_array_equal(generate.sample(model, verbose=0), painted)
    assert "call" not in vars(slim.blocks[0])


def test_models_without_blocks_are_told_what_to_do():
    """Of any origin."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="layer_decay: needs.*Use rates="):
        param_groups.layer_rates(model, 0.5)
    with pytest.raises(ValueError, match="remat: needs.*micro_batch"):
        remat.rematerialize(model)
