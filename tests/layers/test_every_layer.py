"""One harness for every registered layer: the contract that Keras users rely on."""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import layers
from keras_vit.layers import position
from keras_vit.layers.mlp import gelu, gelu_tanh

TOKENS = (2, 5, 8)
# class -> (arguments that are not the defaults, input shape)
CASES = {
    layers.Patches: ({"patch_size": (4, 2)}, (2, 8, 8, 3)),
    layers.PatchEncoder: (
        {"width": 8, "class_tokens": 2, "registers": 1, "dropout": 0.1},
        (2, 9, 12),
    ),
    layers.TransformerBlock: (
        {
            "heads": 2,
            "mlp_dim": 16,
            "drop_path": 0.1,
            "layer_scale": 0.5,
            "qk_norm": True,
            "relative_position": True,
            "activation": "gelu_tanh",
            "epsilon": 1e-5,
        },
        TOKENS,
    ),
    layers.Attention: ({"heads": 2, "use_bias": False, "dropout": 0.2}, TOKENS),
    layers.MLP: ({"hidden": 16, "dropout": 0.1}, TOKENS),
    layers.LayerNorm: ({"epsilon": 1e-5}, TOKENS),
    layers.LayerScale: ({"init": 0.3}, TOKENS),
    layers.TokenPooling: ({"index": 1}, TOKENS),
    layers.MeanPooling: ({"prefix": 1}, TOKENS),
    layers.AttentionPooling: ({"heads": 2, "mlp_dim": 16}, TOKENS),
    layers.StdConv: (
        {
            "filters": 6,
            "size": 3,
            "strides": 2,
            "epsilon": 1e-10,
            "inside": True,
            "padding": "symmetric",
        },
        (2, 7, 8, 4),
    ),
    layers.GroupNorm: ({"epsilon": 1e-5}, (2, 3, 4, 64)),
    layers.BottleneckUnit: ({"filters": 32, "strides": 2}, (2, 7, 8, 32)),
    layers.PreactivationUnit: (
        {"filters": 32, "strides": 2, "epsilon": 1e-8, "norm_epsilon": 1e-6},
        (2, 7, 8, 32),
    ),
}
cases = pytest.mark.parametrize(
    ("cls", "arguments", "shape"),
    [(cls, *case) for cls, case in CASES.items()],
    ids=[cls.__name__ for cls in CASES],
)


def random(shape, seed=0):
    """Normal values, the same for every backend."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def assert_close(expected, result, atol):
    """Equal to atol plus 1e-5 of the value, for tensors of any backend."""
    expected, result = ops.convert_to_numpy(expected), ops.convert_to_numpy(result)
    np.testing.assert_allclose(expected, result, rtol=1e-5 if atol else 0, atol=atol)


def test_every_public_layer_has_a_case():
    """The list above is the list of public layers."""
    assert {getattr(layers, name) for name in layers.__all__} == set(CASES)


@cases
def test_config_rebuilds_the_layer(cls, arguments, shape):
    """A layer rebuilt from its JSON config has the same arguments."""
    layer = cls(**arguments, name="layer")

    config = json.loads(json.dumps(layer.get_config()))
    rebuilt = cls.from_config(config)

    names = [n for n in inspect.signature(cls.__init__).parameters if n != "self"]
    own = set(names) - {"kwargs"}
    assert own <= set(config)
    assert rebuilt.get_config() == layer.get_config()


@cases
def test_symbolic_shape_is_the_eager_shape(cls, arguments, shape):
    """compute_output_shape, a symbolic call and a real call agree."""
    layer = cls(**arguments)
    expected = tuple(layer(random(shape)).shape)

    symbolic = layer(keras.Input(shape[1:]))

    assert tuple(symbolic.shape[1:]) == expected[1:]
    assert tuple(layer.compute_output_shape(shape)) == expected


@cases
def test_saved_layer_gives_the_same_numbers(cls, arguments, shape, tmp_path):
    """A model around the layer survives the .keras format bit for bit."""
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, cls(**arguments)(inputs))
    for weight in model.weights:
        weight.assign(random(weight.shape, seed=1))
    expected = ops.convert_to_numpy(model(random(shape)))

    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")

    np.testing.assert_array_equal(expected, ops.convert_to_numpy(loaded(random(shape))))


@cases
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_stays_near_float32(cls, arguments, shape, policy):
    """Under a 16-bit policy the output is 16-bit and near the float32 result."""
    wide = cls(**arguments)
    expected = ops.convert_to_numpy(wide(random(shape)))
    narrow = cls(**arguments, dtype=policy)
    narrow.build(shape)
    for weight, source in zip(narrow.weights, wide.weights, strict=True):
        weight.assign(source)

    result = narrow(random(shape))

    assert keras.backend.standardize_dtype(result.dtype) == policy.removeprefix(
        "mixed_"
    )
    result = ops.convert_to_numpy(ops.cast(result, "float32"))
    assert np.abs(result - expected).max() <= 0.05 * max(1.0, np.abs(expected).max())


@cases
def test_gradient_reaches_every_weight(cls, arguments, shape):
    """No weight is left out of the computation."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow's tape; the graph is the same")
    import tensorflow as tf

    layer = cls(**arguments)
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(random(weight.shape, seed=2))
    with tf.GradientTape() as tape:
        loss = ops.sum(
            layer(random(shape)) * random(layer.compute_output_shape(shape), 3)
        )
    gradients = tape.gradient(loss, layer.trainable_weights)

    silent = [
        w.path
        for w, g in zip(layer.trainable_weights, gradients, strict=True)
        if g is None or not np.any(ops.convert_to_numpy(g))
    ]
    assert [] == silent


def test_layer_norm_equals_keras():
    """Our spelling of the norm gives the numbers of Keras' own layer."""
    x = random((2, 5, 8)) * 3 + 1
    theirs = keras.layers.LayerNormalization(epsilon=1e-6)

    assert_close(theirs(x), layers.LayerNorm()(x), atol=2e-6)


def test_gelu_forms():
    """gelu is the erf form, gelu_tanh the approximation of 4.7e-4 at most."""
    x = np.linspace(-6, 6, 2001).astype("float32")

    exact = ops.convert_to_numpy(gelu(ops.convert_to_tensor(x)))
    tanh = ops.convert_to_numpy(gelu_tanh(ops.convert_to_tensor(x)))

    expected = ops.convert_to_numpy(keras.activations.gelu(x, approximate=False))
    np.testing.assert_allclose(expected, exact, atol=2e-6)
    assert 4.6e-4 < np.abs(exact - tanh).max() < 4.8e-4


def test_unknown_activation_lists_the_known():
    """A wrong activation is answered with the right ones."""
    with pytest.raises(ValueError, match="gelu, gelu_tanh.*'relu'"):
        layers.MLP(4, activation="relu")


def test_attention_equals_keras_multi_head_attention():
    """Fused projections give the result of keras.layers.MultiHeadAttention."""
    x, width, heads = random((2, 5, 8)), 8, 2
    ours = layers.Attention(heads)
    ours.build(x.shape)
    for weight in ours.weights:
        weight.assign(random(weight.shape, seed=4))
    theirs = keras.layers.MultiHeadAttention(heads, width // heads)
    theirs.build(x.shape, x.shape)
    kernel, bias, out, out_bias = (ops.convert_to_numpy(w) for w in ours.weights)
    parts = []
    for k, b in zip(np.split(kernel, 3, axis=1), np.split(bias, 3), strict=True):
        parts += [k.reshape(width, heads, -1), b.reshape(heads, -1)]
    theirs.set_weights([*parts, out.reshape(heads, -1, width), out_bias])

    expected, weights = theirs(x, x, return_attention_scores=True)

    assert_close(expected, ours(x), atol=1e-5)
    assert_close(weights, ours.attention_weights(x), atol=1e-5)


def test_relative_logits_follow_the_offset():
    """The extra logit of a query and a key is query . offsets[key - query]."""
    x = random((1, 5, 8))
    layer = layers.Attention(2, relative_position=True)
    layer.build(x.shape)
    layer.offsets.assign(random((9, 4), seed=5))
    query, _, _ = layer._heads(ops.convert_to_tensor(x))
    q, table = ops.convert_to_numpy(query), ops.convert_to_numpy(layer.offsets)
    expected = np.empty((1, 2, 5, 5), "float32")
    for i in range(5):
        for j in range(5):
            expected[0, :, i, j] = q[0, :, i] @ table[j - i + 4]

    assert_close(expected, layer._offset_logits(query), atol=1e-6)


def test_heads_must_divide_the_width():
    """The message has both numbers and the way out."""
    with pytest.raises(ValueError, match="width=8, heads=3.*divides"):
        layers.Attention(3).build((None, 5, 8))


def test_relative_position_needs_a_fixed_length():
    """Unknown token counts are refused with relative positions."""
    with pytest.raises(ValueError, match="fixed image size"):
        layers.Attention(2, relative_position=True).build((None, None, 8))


def test_drop_path_drops_whole_samples():
    """While training a branch is kept and rescaled, or dropped, per sample."""
    x = random((64, 3, 8))
    block = layers.TransformerBlock(2, 16, drop_path=0.5)
    block.build(x.shape)
    kept = ops.convert_to_numpy(block.drop_path1(np.ones_like(x), training=True))

    per_sample = kept.reshape(64, -1)
    assert {0.0, 2.0} == set(np.unique(per_sample))
    assert np.all(per_sample.min(axis=1) == per_sample.max(axis=1))


def test_inference_ignores_dropout():
    """Outside training all kinds of dropout do nothing."""
    x = random(TOKENS)
    block = layers.TransformerBlock(
        2, 16, dropout=0.5, attention_dropout=0.5, drop_path=0.5
    )

    assert_close(block(x), block(x, training=False), atol=0)
    trained = ops.convert_to_numpy(block(x, training=True))
    assert np.abs(trained - ops.convert_to_numpy(block(x))).max() > 0.1


def test_sincos_rejects_other_widths():
    """The table needs four equal parts."""
    with pytest.raises(ValueError, match="multiple of 4.*got 6"):
        position.sincos2d((2, 2), 6)


def test_sincos_table_equals_the_recorded_one(shared):
    """Equal to big_vision's tables for a small and a real grid."""
    recorded = np.load(shared / "fixtures/golden/bv_posemb_sincos2d.npz")

    tables = {k: recorded[k] for k in recorded if recorded[k].ndim == 3}
    assert tables
    for table in tables.values():
        count, width = table.shape[1:]
        grid = (7, 5) if count == 35 else (14, 14)
        np.testing.assert_allclose(table[0], position.sincos2d(grid, width), atol=2e-6)
