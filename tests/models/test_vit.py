"""What a user of keras.applications expects of a model, and what ViT adds."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import models, variants
from keras_vit.models import Architecture

OPTIONS = [
    {},
    {"pooling": "gap"},
    {"pooling": "map"},
    {"pooling": "gap", "class_token": True, "norm_pooled": True},
    {"position": "learned2d"},
    {"position": "sincos2d", "position_prefix": False},
    {"position": "relative"},
    {"position": "none"},
    {"registers": 2, "position_prefix": False, "layer_scale": 0.1},
    {"qk_norm": True, "qkv_bias": False, "norm_input": True, "patch_bias": False},
    {"distilled": True, "classifier_activation": "softmax"},
    {"representation_size": 12, "activation": "gelu_tanh"},
    {"include_top": False},
    {"include_top": False, "pooling": None},
    {"image_size": (32, 48), "patch_size": (8, 4)},
    {"channels": 1, "classes": 2},
]


def predict(model, images):
    """Inference as a numpy array."""
    return ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_saved_model_gives_identical_logits(tiny, options, tmp_path):
    """Every option survives the .keras format, notes included."""
    model = tiny(**options, labels=None, depth=1)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")

    np.testing.assert_array_equal(predict(model, images), predict(loaded, images))
    assert model.preprocessing == loaded.preprocessing


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_output_shape(tiny, options):
    """Logits (B, K), features (B, D), or tokens (B, T, D)."""
    model = tiny(**options, depth=1)
    arch = Architecture(**{"image_size": 32, "patch_size": 8, **options})
    tokens = arch.class_tokens + arch.registers + arch.grid[0] * arch.grid[1]
    expected = (None, options.get("classes", 5))
    if not arch.include_top:
        expected = (None, 16) if arch.pooling else (None, tokens, 16)

    assert expected == model.output_shape


def test_logits_are_the_golden_ones(tiny, recorded_logits):
    """Weights and images from numpy's generator give the recorded logits, on any
    backend, to 1e-5."""
    for name, recorded in recorded_logits.items():
        model = tiny(**json.loads(name))
        rng = np.random.default_rng(1)
        images = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")

        np.testing.assert_allclose(recorded, predict(model, images), atol=1e-5)


@pytest.fixture
def recorded_logits(request):
    """JSON of options -> logits, written by tests/golden/make.py."""
    path = request.path.parents[1] / "golden" / "tiny_logits.npz"
    with np.load(path) as file:
        return {k: file[k] for k in file if k != "header"}


def test_weight_paths_are_the_golden_ones(tiny, request):
    """A rename of a weight is a decision: it breaks saved files."""
    path = request.path.parents[1] / "golden" / "weight_paths.txt"
    expected = path.read_text().split()
    options = {"registers": 1, "layer_scale": 0.1, "qk_norm": True, "depth": 1}
    options |= {"representation_size": 4, "distilled": True}

    assert expected == [weight.path for weight in tiny(**options).weights]


def test_weights_file_round_trip(tiny, images, tmp_path):
    """save_weights and load_weights carry every array."""
    model, other = tiny(), keras_vit.VisionTransformer(**SMALL)

    model.save_weights(tmp_path / "m.weights.h5")
    other.load_weights(tmp_path / "m.weights.h5")

    np.testing.assert_array_equal(predict(model, images), predict(other, images))


SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "mlp_dim": 32,
    "classes": 5,
}


def test_clone_model_copies_the_graph(tiny, images):
    """keras.models.clone_model works, and the clone takes the weights."""
    model = tiny()
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())

    np.testing.assert_array_equal(predict(model, images), predict(clone, images))


def test_labels_and_preprocessing_travel_with_the_file(tmp_path):
    """The two notes of a model are saved with it."""
    note = keras_vit.Preprocessing(mode="imagenet", crop=0.9, resize="short_side")
    labels = list("abcde")
    model = keras_vit.VisionTransformer(**SMALL, labels=labels, preprocessing=note)

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")

    assert labels == loaded.labels
    assert note.resized((32, 32)) == loaded.preprocessing


def test_summary_has_one_line_per_block(tiny):
    """A person can read the summary."""
    lines = []
    tiny().summary(print_fn=lines.append)
    text = "\n".join(lines)

    assert 2 == text.count("TransformerBlock")
    assert "patch_encoder" in text and "head" in text


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_logits_are_float32(tiny, images, policy):
    """Under 16 bits the logits are float32 and near the float32 model's."""
    expected = predict(tiny(), images)
    model = tiny(dtype=policy)
    result = model(images)

    assert "float32" == keras.backend.standardize_dtype(result.dtype)
    assert "float32" == model.get_layer("block_0").norm1.gamma.dtype
    assert np.abs(expected - predict(model, images)).max() < 0.05


def test_fresh_model_follows_the_reference_initialisers():
    """Standard deviations and ranges of vit_jax."""
    model = keras_vit.create("mu/16", input_shape=(64, 64, 3))
    encoder, block = model.get_layer("patch_encoder"), model.get_layer("block_0")
    array = ops.convert_to_numpy

    assert 0 == np.abs(array(model.get_layer("head").kernel)).max()
    assert 0 == np.abs(array(encoder.class_token)).max()
    assert 0.02 == pytest.approx(array(encoder.table.embedding).std(), rel=0.1)
    assert (1 / 768) ** 0.5 == pytest.approx(
        array(encoder.projection.kernel).std(), rel=0.05
    )
    limit = (6 / 64) ** 0.5
    assert limit == pytest.approx(
        np.abs(array(block.attention.qkv.kernel)).max(), rel=0.05
    )
    assert 1e-6 == pytest.approx(array(block.mlp.fc1.bias).std(), rel=0.3)


def test_drop_path_grows_linearly():
    """Block 0 never drops, the last block drops at the full rate."""
    model = keras_vit.VisionTransformer(**{**SMALL, "depth": 3}, drop_path=0.2)

    rates = [model.get_layer(f"block_{k}").drop_path for k in range(3)]
    assert pytest.approx([0.0, 0.1, 0.2]) == rates


def test_feature_extractor_gives_the_tokens_after_a_block(tiny, images):
    """The last block's tokens, normed and headed, are the logits."""
    model = tiny()
    first, last = keras_vit.feature_extractor(model, blocks=[0, -1])(images)
    normed = model.get_layer("norm")(last)

    assert (4, 17, 16) == first.shape
    logits = model.get_layer("head")(model.get_layer("pool")(normed))
    np.testing.assert_allclose(
        predict(model, images), ops.convert_to_numpy(logits), atol=1e-6
    )


def test_feature_extractor_gives_a_feature_map(tiny):
    """layout="grid" leaves out the prefix tokens and restores rows and columns."""
    model = tiny(image_size=(32, 48), registers=2)
    x = np.zeros((1, 32, 48, 3), "float32")
    tokens = predict(keras_vit.feature_extractor(model), x)
    grid = predict(keras_vit.feature_extractor(model, layout="grid"), x)

    assert (1, 4, 6, 16) == grid.shape
    np.testing.assert_array_equal(tokens[0, 3 + 6 + 2], grid[0, 1, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": [2]}, "blocks 0 to 1, got 2"),
        ({"layout": "map"}, "'tokens' or 'grid', got 'map'"),
    ],
)
def test_feature_extractor_refuses(tiny, arguments, message):
    """A block or layout that does not exist is named."""
    with pytest.raises(ValueError, match=message):
        keras_vit.feature_extractor(tiny(), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 225}, r"225 = 28\*8 \+ 1.*image_size=224"),
        ({"heads": 3}, "width=16, heads=3"),
        ({"pooling": "mean"}, "'token', 'gap', 'map', None, got 'mean'"),
        ({"position": "rope"}, "'learned'.*got 'rope'"),
        ({"pooling": None}, "include_top=False"),
        ({"class_token": False}, "pooling='gap' or 'map'"),
        ({"distilled": True, "pooling": "gap"}, "pooling='token'"),
        ({"labels": ["a"]}, "5 classes, got 1"),
        ({"dropout": 1.5}, "dropout.*below 1, got 1.5"),
        ({"depth": 0}, "depth.*above 0, got 0"),
        ({"activation": "relu"}, "gelu, gelu_tanh"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_refused(options, message):
    """Each refusal has the value and the way out."""
    with pytest.raises(ValueError, match=message):
        keras_vit.VisionTransformer(**{**SMALL, **options})


def test_an_option_that_does_not_exist_is_refused():
    """A typo is a TypeError, as for any function."""
    with pytest.raises(TypeError, match="patchsize"):
        keras_vit.VisionTransformer(patchsize=16)


@pytest.mark.parametrize(
    ("name", "near"),
    [("B16", "'B/16'"), ("ViT-B16", "'ViT-B/16'"), ("vit_l32", "L")],
)
def test_an_unknown_name_gets_the_nearest(name, near):
    """The message proposes a name that exists."""
    with pytest.raises(
        ValueError, match=f"no variant.*Did you mean.*{near}.*Known sizes"
    ):
        keras_vit.create(name)


def test_every_listed_name_is_a_function_and_parses():
    """Functions, names and the table are one set."""
    assert len(keras_vit.list_models("ViT-*")) + len(
        keras_vit.list_models("DeiT-*")
    ) == sum(name.startswith(("ViT", "DeiT")) for name in variants.FUNCTIONS)
    for name in variants.FUNCTIONS:
        assert callable(getattr(keras_vit, name)) and getattr(keras_vit, name).__doc__


def test_input_shape_must_be_fixed():
    """Keras' None sizes are refused with an example."""
    with pytest.raises(ValueError, match=r"fixed sizes.*None"):
        keras_vit.create("B/16", input_shape=(None, None, 3))


def test_an_outline_leaves_nothing_behind(tiny, monkeypatch):
    """Weights of an outline get no values, not even where Keras fills all that wait."""
    drawn = []
    draw = keras.initializers.GlorotUniform.__call__

    def count(self, shape, dtype=None):
        drawn.append(shape)
        return draw(self, shape, dtype)

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", count)
    shapes = models.outline(tiny)
    with keras.StatelessScope():
        pass
    assert [] == drawn

    again = tiny()

    assert [w.shape for w in again.weights] == [w.shape for w in shapes.weights]
    assert [] != drawn
