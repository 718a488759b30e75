"""Encoders of every kind: how they are read, at every depth, and side by side."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import training
from keras_vit.models import BigTransfer
from keras_vit.models.image_gpt_features import pixel_features
from keras_vit.training import evaluate

SMALL = {"width": 16, "depth": 2, "heads": 2}
PATCHES = {"image_size": 32, "patch_size": 8, "mlp_dim": 32, **SMALL}


@pytest.fixture(scope="module")
def models(tiny):
    """One model of each kind."""
    decoder = {"decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}
    return {
        "mae": keras_vit.MaskedAutoencoder(**PATCHES, **decoder),
        "patches": keras_vit.MaskedPatchPrediction(**PATCHES),
        "gpt": keras_vit.ImageGPT(image_size=8, colors=8, **SMALL),
        "map": tiny(pooling="map", classes=3),
    }


@pytest.fixture(scope="module")
def colours():
    """Noisy images of three colours: 54 to learn from, 6 held out, 30 to test."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = rng.integers(0, 100, (90, 32, 32, 3))
    images[np.arange(90), :, :, labels] += 40
    images = images.astype("uint8")
    return {"train": (images[:60], labels[:60]), "test": (images[60:], labels[60:])}


def depth_features(count, seed):
    """Labels of three classes that only the middle one of three depths shows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    found = rng.normal(size=(count, 3, 4))
    found[:, 1, :3] += 6.0 * np.eye(3)[labels]
    return found.astype("float32"), labels


def test_what_is_read_of_each_kind(models, images):
    """A masked autoencoder's patches, another's class token, an image GPT's pixels."""
    tokens = {name: models[name].encoder(images) for name in ("mae", "patches")}
    expected = {
        "mae": keras.ops.mean(tokens["mae"][:, 1:], axis=1),
        "patches": tokens["patches"][:, 0],
        "gpt": pixel_features(models["gpt"])(images[:, :8, :8]),
    }
    for name, rows in expected.items():
        size = 8 if name == "gpt" else 32
        found = evaluate.encoder(models[name])(images[:, :size, :size])
        np.testing.assert_allclose(rows, found, atol=1e-5)
    found = evaluate.encoder(models["mae"], pooling="token")(images)
    np.testing.assert_allclose(tokens["mae"][:, 0], found, atol=1e-6)
    with pytest.raises(ValueError, match="'token' or 'gap', got 'map'"):
        evaluate.encoder(models["mae"], pooling="map")


def test_every_depth_in_one_pass(models, tiny, images):
    """What the norm of each block gives, and the end; nothing of the model changes."""
    gpt, small = models["gpt"], images[:, :8, :8]
    found = evaluate.every_depth(gpt)(small)
    assert (4, 3, 16) == found.shape
    for depth in range(3):
        one = pixel_features(gpt, depth)(small)
        np.testing.assert_allclose(one, found[:, depth], atol=1e-5)
    for options in ({}, {"pooling": "gap", "norm_pooled": True}, {"pooling": "gap"}):
        model = tiny(**options)
        before = model.get_config()
        found = evaluate.every_depth(model)(images)
        first = model.get_layer("block_0").norm1(
            model.get_layer("patch_encoder").output
        )
        tokens = keras.Model(model.input, first)(images)
        pooled = tokens[:, 0] if not options else keras.ops.mean(tokens, axis=1)
        np.testing.assert_allclose(pooled, found[:, 0], atol=1e-5)
        end = evaluate.encoder(model)(images)
        np.testing.assert_allclose(end, found[:, -1], atol=1e-5)
        assert before == model.get_config()


def test_depths_of_models_without_blocks(models):
    """A ResNet has none; a model without a class token cannot be read by it."""
    resnet = BigTransfer(units=(1,), filters=(32,), image_size=32, classes=2)
    with pytest.raises(ValueError, match="transformer blocks.*features alone"):
        evaluate.every_depth(resnet)
    with pytest.raises(ValueError, match="which 'vit' has not. Use pooling='gap'"):
        evaluate.every_depth(models["map"], pooling="token")
    data = (np.zeros((20, 32, 32, 3), "uint8"), np.arange(20) % 2)
    with pytest.raises(ValueError, match="depth: needs a model.*r without"):
        evaluate.compare({"r": resnet}, data, ("depth",), verbose=0)


def test_the_depth_that_shows_the_classes():
    """Found by the held-out images, scored on the others."""
    curve = evaluate.depth_probe(
        None, depth_features(300, 0), depth_features(150, 1), verbose=0
    )
    assert 1 == curve.best == curve.to_dict()["best"]
    assert 0.9 < curve.top1[1] and max(curve.top1[0], curve.top1[2]) < 0.6
    with pytest.raises(ValueError, match="two classes or more, got only class 0"):
        x, y = depth_features(30, 0)
        evaluate.depth_probe(None, (x, 0 * y), (x, y), verbose=0)


def test_untrained_is_the_same_model_with_other_weights(models, images):
    """The floor: the palette stays, everything learnt is drawn again."""
    gpt = models["gpt"]
    gpt.palette.assign(np.random.default_rng(0).uniform(-1, 1, (8, 3)))
    for model in (gpt, models["map"]):
        floor = evaluate.untrained(model)
        assert model.count_params() == floor.count_params()
        pairs = zip(model.weights, floor.weights, strict=True)
        same = [np.array_equal(a, b) for a, b in pairs if a.ndim > 1]
        assert sum(same) <= 2
    np.testing.assert_array_equal(gpt.palette, evaluate.untrained(gpt).palette)


@pytest.mark.slow
def test_one_table_for_all_kinds(models, colours, tmp_path):
    """Rows in the order given, the same scores as the probes one by one."""
    encoders = {**models, "pixels": "pixels"}
    found = evaluate.compare(encoders, colours, ("knn", "depth"), verbose=0)

    assert list(encoders) == [row.name for row in found.rows]
    assert (54, 30) == found.counts and "test" == found.split
    gpt, pixels = found.rows[2], found.rows[-1]
    assert gpt.depth == gpt.curve.best and pixels.curve is None
    assert 1.0 == pixels.scores["knn_top1"]
    assert models["mae"].encoder.count_params() == found.rows[0].parameters
    note = models["mae"].preprocessing
    parts = [
        training.load_split(colours, part, preprocessing=note, verbose=0)[0]
        for part in ("train", "test")
    ]
    alone = evaluate.probes(models["mae"], *parts, ("knn",), verbose=0)
    assert alone == found.rows[0].scores
    text = str(found).splitlines()
    assert 7 == len(text) and 1 == len({len(line) for line in text})
    assert text[4].startswith(f"| gpt     | ImageGPT, depth {gpt.depth}")
    assert found.plot_depths(tmp_path / "d.png").is_file()
    with pytest.raises(FileExistsError, match="must not exist yet"):
        found.plot_depths(tmp_path / "d.png")


def test_every_batch_has_one_size_for_the_model(models, images):
    """A smaller last batch is filled up, and what it is filled with is left out."""
    sizes = []

    class Watched:
        def predict_on_batch(self, batch):
            sizes.append(len(batch))
            return batch.reshape(len(batch), -1)

    data = [(images[:3], np.arange(3)), (images[3:], np.arange(1))]
    found, labels = evaluate.features(Watched(), data, verbose=0)
    assert [3, 3] == sizes and [0, 1, 2, 0] == labels.tolist()
    np.testing.assert_array_equal(images.reshape(4, -1), found)


def test_a_model_is_probed_while_it_learns_without_labels(models, colours):
    """The features of its encoder, beside its loss."""
    parts = [
        training.load_split(colours, part, image_size=32, verbose=0)[0]
        for part in ("train", "test")
    ]
    watch = evaluate.ProbeFeatures(*parts, kinds=("knn",))
    watch.set_model(models["patches"])
    logs = {"loss": 1.0}
    watch.on_epoch_end(0, logs)
    assert 0 <= logs["knn_top1"] <= 1


def test_a_table_is_refused_before_anything_is_computed(models, tiny):
    """By name of the encoder that cannot be read."""
    tokens = tiny(include_top=False, pooling=None)
    with pytest.raises(ValueError, match="bad: model: must give one vector"):
        evaluate.compare({"gpt": models["gpt"], "bad": tokens}, "nowhere")
    with pytest.raises(ValueError, match="got none. Name a model"):
        evaluate.compare({}, "digits")
    with pytest.raises(ValueError, match="linear, few_shot, knn, lars, depth"):
        evaluate.compare(models, "digits", ("svm",))
