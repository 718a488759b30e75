"""Each formula against a plain numpy computation, on every kind of model."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import feature_extractor, introspect, layers
from keras_vit.introspect.distance import distances_of
from keras_vit.introspect.layout import probe_of

# name -> options of the tiny model: every reading, prefix, grid and stem.
KINDS = {
    "token": {},
    "registers": {"registers": 2, "image_size": (16, 40)},
    "gap": {"pooling": "gap", "position": "sincos2d"},
    "gap_class": {"pooling": "gap", "class_token": True, "registers": 1},
    "map": {"pooling": "map"},
    "deit": {"distilled": True},
    "hybrid": {"stem": (), "patch_size": 2},
    "wide": {"patch_size": (8, 16), "image_size": (24, 32), "position": "learned2d"},
    "features": {"include_top": False, "pooling": None, "qk_norm": True},
    "relative": {"position": "relative"},
    "none": {"position": "none"},
}
PREFIX = {
    "registers": ("class", "register 1", "register 2"),
    "gap": (),
    "map": (),
    "gap_class": ("class", "register 1"),
    "deit": ("class", "distillation"),
}


@pytest.fixture(scope="module")
def models(tiny):
    """One tiny model of each kind, built when it is first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = tiny(**KINDS[kind])
        return made[kind]

    return get


def pictures(model, count=2):
    """Random images that a model takes."""
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")


def softmax(x):
    """Over the last axis."""
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def read(model, images, maps):
    """What the head reads of the last tokens, by the kind of its pooling: (B, T)."""
    length, pool = maps[0].shape[-1], {p.name: p for p in model.layers}.get("pool")
    encoder = model.get_layer("patch_encoder")
    start, rows = encoder.prefix_tokens, np.zeros((len(images), length))
    if hasattr(pool, "probe"):
        tokens = keras.Model(model.input, pool.input)(images, training=False)
        return ops.convert_to_numpy(pool.attention_weights(tokens)).mean((1, 2))
    if hasattr(pool, "prefix"):
        rows[:, start:] = 1 / (length - start)
    elif encoder.class_tokens == 2:
        rows[:, :2] = 0.5
    else:
        rows[:, 0] = 1
    return rows


def test_attention_maps_are_the_softmax_of_scaled_products(models):
    """softmax(q k / sqrt(d)) per head, computed here from the block's own weights."""
    model = models("token")
    images, block = pictures(model), models("token").get_layer("block_0")
    x = ops.convert_to_numpy(keras.Model(model.input, block.input)(images))
    gamma, beta = (ops.convert_to_numpy(w) for w in block.norm1.weights)
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta
    kernel, bias = (ops.convert_to_numpy(w) for w in block.attention.qkv.weights)
    query, key, _ = np.split(x @ kernel + bias, 3, axis=-1)
    expected = [
        softmax(query[..., s] @ key[..., s].swapaxes(1, 2) / np.sqrt(8))
        for s in (slice(0, 8), slice(8, 16))
    ]

    result = introspect.attention_maps(model, images)[0]
    np.testing.assert_allclose(np.stack(expected, axis=1), result, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_is_the_product_of_all_blocks(models, kind):
    """Whole matrices, later blocks on the left, then what the head reads."""
    model = models(kind)
    images = pictures(model, 3)
    maps = introspect.attention_maps(model, images)
    whole = np.eye(maps[0].shape[-1])[None]
    for weights in maps:
        whole = (0.5 * weights.mean(axis=1) + 0.5 * np.eye(whole.shape[-1])) @ whole
    h, w = grid = model.get_layer("patch_encoder").grid
    expected = np.einsum("bq,bqk->bk", read(model, images, maps), whole)
    expected = expected[:, -h * w :].reshape(3, *grid)

    result = introspect.attention_rollout(model, images, batch_size=2)
    assert (expected.shape, "float32") == (result.shape, result.dtype.name)
    np.testing.assert_allclose(expected, result, atol=1e-6)


@pytest.mark.parametrize("kind", ["token", "registers", "hybrid", "wide"])
def test_distance_is_the_mean_over_all_pairs(models, kind):
    """Pair by pair, in px of the image, prefix dropped without renormalising."""
    model = models(kind)
    images, encoder = pictures(model, 3), models(kind).get_layer("patch_encoder")
    (h, w), start = encoder.grid, encoder.prefix_tokens
    down, across = model.input_shape[1] / h, model.input_shape[2] / w
    places = [(r * down, c * across) for r in range(h) for c in range(w)]
    maps = introspect.attention_maps(model, images)
    expected = np.zeros((len(maps), maps[0].shape[1]))
    for (i, p), (j, q) in itertools.product(enumerate(places), repeat=2):
        far = ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5
        for block, weights in enumerate(maps):
            expected[block] += far * weights[:, :, start + i, start + j].mean(axis=0)
    expected /= h * w

    result = introspect.attention_distance(model, images, batch_size=2)
    np.testing.assert_allclose(expected, result, rtol=1e-5)


def test_prefix_tokens_shorten_distances():
    """What goes to a prefix token counts as no distance: nothing is renormalised."""
    layout = introspect.TokenLayout(("class",), (1, 2), (8.0, 8.0), np.ones(3) / 3)
    even = np.full((1, 1, 3, 3), 1 / 3)

    assert 8 / 3 == pytest.approx(distances_of([even], layout).item())


@pytest.mark.parametrize("kind", ["token", "registers", "wide"])
def test_similarity_is_the_cosine_of_every_pair(models, kind):
    """Of the rows of patches, [r, c] against all others; 1 with itself."""
    encoder = models(kind).get_layer("patch_encoder")
    h, w = encoder.grid
    rows = ops.convert_to_numpy(encoder.table.table())[0, -h * w :]
    expected = [
        np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
        for a, b in itertools.product(rows, rows)
    ]

    result = introspect.position_similarity(models(kind))
    assert (h, w, h, w) == result.shape
    np.testing.assert_allclose(expected, result.ravel(), atol=1e-5)
    np.testing.assert_allclose(1.0, result[h - 1, 1, h - 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("relative", "one-dimensional.*inside each block"), ("none", "nothing tells")],
)
def test_positions_without_a_table_are_refused(models, kind, reason):
    """The message says why, and which positions have one."""
    with pytest.raises(ValueError, match=f"position='{kind}': .*{reason}.*'learned2d'"):
        introspect.position_similarity(models(kind))


@pytest.mark.parametrize("kind", ["token", "wide", "hybrid"])
def test_filters_are_the_leading_eigenvectors(models, kind):
    """Of the covariance of the filters; largest entry positive, then 0 to 1."""
    model = models(kind)
    if kind == "hybrid":
        root = model.get_layer("stem_root")
        kernel = ops.convert_to_numpy(root.standardised_kernel()).astype("float64")
    else:
        kernel = ops.convert_to_numpy(
            model.get_layer("patch_encoder").projection.kernel
        )
        kernel = kernel.reshape(*model.get_layer("patches").patch_size, 3, 16)
    samples = kernel.reshape(-1, kernel.shape[-1])
    _, vectors = np.linalg.eigh(np.cov(samples.astype("float64")))
    expected = []
    for vector in vectors.T[::-1][:5]:
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        expected.append((vector - vector.min()) / (vector.max() - vector.min()))

    result = introspect.embedding_filters(model, count=5)
    assert (5, *kernel.shape[:3]) == result.shape
    np.testing.assert_allclose(np.reshape(expected, result.shape), result, atol=1e-4)


def test_there_are_as_many_filters_as_dimensions(models):
    """16 filters, centred, span 15 dimensions: no tile of noise is added."""
    assert 15 == len(introspect.embedding_filters(models("token"), count=28))
    with pytest.raises(ValueError, match="count: .*got 0.*28"):
        introspect.embedding_filters(models("token"), count=0)


def test_filters_of_a_plain_stem_are_its_convolutions():
    """Behind a convolution those; behind a network of another kind none, with a reason.

    The convolution's two filters leave one component: their difference.
    """
    image = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(2, 3, padding="same")(image)
    tokens = layers.PatchEncoder(16)(layers.Patches(8)(features))
    model = keras.Model(image, tokens)
    kernel = ops.convert_to_numpy(model.layers[1].kernel)
    expected = kernel[..., 0] - kernel[..., 1]
    expected *= np.sign(expected.flat[np.abs(expected).argmax()])
    expected = (expected - expected.min()) / np.ptp(expected)

    (result,) = introspect.embedding_filters(model)
    np.testing.assert_allclose(expected, result, atol=1e-5)

    features = keras.layers.Dense(2)(image)
    tokens = layers.PatchEncoder(16)(layers.Patches(8)(features))
    model = keras.Model(image, tokens, name="mine")
    with pytest.raises(ValueError, match="model='mine'.*another network. Look into"):
        introspect.embedding_filters(model)


def test_norms_are_lengths_of_tokens(models):
    """After every block, of every token, prefix included."""
    model = models("registers")
    images = pictures(model, 3)
    blocks = feature_extractor(model, blocks=[0, 1])(images)
    expected = [np.linalg.norm(ops.convert_to_numpy(x), axis=-1) for x in blocks]

    result = introspect.token_norms(model, images, batch_size=2)
    np.testing.assert_allclose(np.stack(expected, axis=1), result, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_names_the_tokens(models, kind):
    """Prefix, grid, px per patch, and what the head reads, which sums to 1."""
    model = models(kind)
    layout = introspect.token_layout(model)
    h, w = layout.grid

    assert PREFIX.get(kind, ("class",)) == layout.prefix
    sides = (h * layout.step[0], w * layout.step[1])
    assert model.input_shape[1:3] == sides
    assert len(layout.prefix) + h * w == len(layout.readers)
    assert 1.0 == pytest.approx(layout.readers.sum())


def test_wrong_images_are_named(models):
    """Shape and way out; no images at all are refused too."""
    model = models("token")

    with pytest.raises(ValueError, match=r"\(B, 32, 32, 3\), got \(32, 32, 3\).*None"):
        introspect.attention_rollout(model, np.zeros((32, 32, 3), "float32"))
    with pytest.raises(ValueError, match="at least one image.*got 0 images"):
        introspect.attention_distance(model, np.zeros((0, 32, 32, 3), "float32"))
    with pytest.raises(ValueError, match="batch_size=0"):
        introspect.token_norms(model, pictures(model), batch_size=0)


def test_more_maps_than_memory_are_refused(models, monkeypatch):
    """Before anything is computed, with what is needed."""
    monkeypatch.setattr("keras_vit.files.free_memory", lambda: 1000)

    with pytest.raises(MemoryError, match="of 2 images at a time: needs about"):
        introspect.attention_maps(models("token"), pictures(models("token")))
    with pytest.raises(MemoryError, match="of 1 images at a time: needs about"):
        introspect.attention_distance(models("token"), pictures(models("token")), 1)


def test_a_model_of_ones_own_layers_works():
    """Stacked by hand, with a pooling of Keras: the class token is read."""
    image = keras.Input((16, 16, 3))
    tokens = layers.PatchEncoder(16)(layers.Patches(8)(image))
    tokens = layers.TransformerBlock(2, 32)(tokens)
    model = keras.Model(image, keras.layers.GlobalAveragePooling1D()(tokens))

    assert ("class",) == introspect.token_layout(model).prefix
    assert 1.0 == introspect.token_layout(model).readers[0]
    assert (2, 2, 2) == introspect.attention_rollout(model, pictures(model)).shape
    assert probe_of(model) is None
