"""Masked autoencoder: equal to the reference, and a Keras model like any other."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.errors import CheckpointError

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "width": 32,
    "depth": 2,
    "heads": 4,
    "mlp_dim": 64,
}


@pytest.fixture(scope="module")
def tiny():
    """A small masked autoencoder with random weights."""
    keras.utils.set_random_seed(0)
    return keras_vit.MaskedAutoencoder(
        decoder_width=16, decoder_depth=1, decoder_heads=2, **TINY
    )


@pytest.fixture(scope="module")
def images():
    """Eight images of noise."""
    return np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")


def _expected(shared, name):
    return np.load(shared / "fixtures" / "checkpoints" / f"{name}.expected.npz")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("facebook_mae_pretrain", {"heads": 3, "decoder_heads": 2}),
        ("hf_mae", {}),
        ("hf_mae_normpix", {}),
    ],
)
def test_files_give_the_reference_s_prediction_and_loss(shared, name, options):
    """Prediction, mask and loss equal those of the reference for the same noise."""
    path = shared / "fixtures" / "checkpoints" / f"{name}.safetensors"
    model = keras_vit.MaskedAutoencoder.from_checkpoint(path, **options)
    expected = _expected(shared, name)
    output = model(expected["images"], noise=expected["noise"])
    patches = ops.convert_to_numpy(output["patches"])
    assert np.abs(patches - expected["pred"]).max() < 1e-5
    assert np.array_equal(ops.convert_to_numpy(output["mask"]), expected["mask"])
    assert abs(float(model.losses[0]) - float(expected["loss"])) < 1e-5


def test_golden_losses_with_and_without_normalised_pixels(shared, tmp_path):
    """Both losses of the golden file, and the latent tokens of what is seen."""
    golden = np.load(shared / "fixtures" / "golden" / "mae.npz")
    weights = {k[2:]: golden[k] for k in golden.files if k.startswith("w/")}
    np.savez(tmp_path / "mae.npz", **weights)
    images = golden["in/image_nchw"].transpose(0, 2, 3, 1)
    losses = {}
    for normalised in (True, False):
        model = keras_vit.MaskedAutoencoder.from_checkpoint(
            tmp_path / "mae.npz", heads=4, decoder_heads=2, normalise_pixels=normalised
        )
        model(images, noise=golden["in/noise"])
        losses[normalised] = float(model.losses[0])
    latent, mask, places = model.encode(images, golden["in/noise"])
    assert np.abs(ops.convert_to_numpy(latent) - golden["out/latent"]).max() < 1e-5
    assert np.array_equal(ops.convert_to_numpy(places), golden["out/ids_restore"])
    assert np.array_equal(ops.convert_to_numpy(mask), golden["out/mask"])
    assert abs(losses[True] - float(golden["out/loss_norm_pix"])) < 1e-5
    assert abs(losses[False] - float(golden["out/loss_pix"])) < 1e-5
    target = ops.convert_to_numpy(model.to_target(images))
    assert np.abs(target - golden["out/patchify"]).max() == 0


def test_it_trains_saves_and_loads(images, tmp_path):
    """`compile`, `fit`, `save` and `load_model` need nothing special."""
    decoder = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    tiny = keras_vit.MaskedAutoencoder(**{**TINY, "depth": 1}, **decoder)
    tiny.compile("adam")
    history = tiny.fit(images, epochs=3, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    tiny.save(tmp_path / "mae.keras")
    loaded = keras.saving.load_model(tmp_path / "mae.keras")
    before, after = tiny(images)["patches"], loaded(images)["patches"]
    assert np.array_equal(ops.convert_to_numpy(before), ops.convert_to_numpy(after))


def test_what_is_seen_stays_and_a_quarter_is_seen(tiny, images):
    """The reconstruction keeps the seen patches, exactly a quarter of them."""
    seen, painted = tiny.reconstruct(images)
    shown = seen != 0
    assert np.allclose(painted[shown], images[shown], atol=1e-5)
    assert shown.mean() == pytest.approx(0.25)


def test_the_classifier_begins_with_the_encoder(tiny):
    """Blocks come over, positions can be trained again, the head is new."""
    classifier = keras_vit.classifier_from(tiny, classes=5, drop_path=0.1)
    assert classifier.output_shape == (None, 5)
    theirs = tiny.encoder.get_layer("block_1").get_weights()
    for mine, other in zip(
        classifier.get_layer("block_1").get_weights(), theirs, strict=True
    ):
        assert np.array_equal(mine, other)
    assert len(classifier.trainable_weights) == len(classifier.weights)
    assert {"fc_norm", "head"} <= {layer.name for layer in classifier.layers}


def test_without_training_the_draw_is_always_the_same(tiny, images):
    """Two evaluations give the same loss; two training steps hide other patches."""
    tiny.compile("adam")
    assert tiny.evaluate(images, verbose=0) == tiny.evaluate(images, verbose=0)
    first = ops.convert_to_numpy(tiny(images, training=True)["mask"])
    second = ops.convert_to_numpy(tiny(images, training=True)["mask"])
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_ratio": 1.0}, r"mask_ratio: must mask some .* got 1.0"),
        ({"mask_ratio": "0.75"}, r"mask_ratio: must mask some .* got '0.75'"),
        ({"pooling": "token"}, r"pooling: .* got 'token'.*classifier_from"),
        ({"registers": 2}, r"registers: .* got 2"),
        ({"conv_stem": (8, 16)}, r"conv_stem: .* got \(8, 16\)"),
    ],
)
def test_wrong_options(options, message):
    """The rule, the value and the way out are in the message."""
    with pytest.raises(ValueError, match=message):
        keras_vit.MaskedAutoencoder(**{**TINY, **options})


def test_an_encoder_alone_is_no_masked_autoencoder(shared):
    """A file without a decoder says where to look."""
    path = shared / "fixtures" / "checkpoints" / "hf_vit.safetensors"
    with pytest.raises(CheckpointError, match=r"decoder.*from_checkpoint"):
        keras_vit.MaskedAutoencoder.from_checkpoint(path)


def test_other_models_have_nothing_to_hand_over():
    """A classifier is not a pre-training model."""
    with pytest.raises(TypeError, match=r"classes=\.\.\. when they are built"):
        keras_vit.classifier_from(keras.Sequential(), classes=3)


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 16, 16, 3), (1, 32, 32, 1)])
def test_images_of_another_shape_are_refused(tiny, shape):
    """A single one too; the message says how to prepare them."""
    with pytest.raises(ValueError, match=r"takes images \(B, 32, 32, 3\).*\[None\]"):
        tiny.reconstruct(np.zeros(shape, "float32"))
