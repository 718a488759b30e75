"""Fine-tuning under integers: it starts well, learns, saves, and reaches the file."""

import keras
import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization import prepare_model
from keras_vit.export.quantization.algorithms import gptq, int4
from keras_vit.export.quantization.algorithms.integer_gelu import QUICK
from keras_vit.export.quantization.graph.graph import FLOAT32, INT4, INT8, TFLiteGraph
from keras_vit.export.quantization.qat import fake_quant, finetune
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import open_file


@pytest.fixture(scope="module")
def twin(tiny, photos):
    """A tiny model made ready for 4 bits, and trained a little."""
    model = tiny(depth=1)
    made = finetune.quantize_aware(model, "int4", photos)
    made.compile(keras.optimizers.Adam(1e-4), "mse")
    made.fit(photos, model.predict(photos, verbose=0), batch_size=20, verbose=0)
    return made


def decibel(expected, got):
    """Signal-to-noise ratio in dB."""
    tally = Tally()
    tally.add(expected, got)
    return tally.decibel


def test_it_starts_where_rounding_ends(twin, tiny, photos):
    """Usable before a long training: rounded on data, biases corrected."""
    expected = tiny(depth=1).predict(photos, verbose=0)

    assert decibel(expected, twin.predict(photos, verbose=0)) > 15


@pytest.mark.slow
def test_it_learns(tiny, photos):
    """From 2 bits, rounded to the nearest, weights and steps learn the answers."""
    model = tiny()
    inner = prepare_model.fold_norm_scale(model)
    made = finetune.QuantizationAware(inner, [2] * 10)
    for dense, step in zip(prepare_model.dense_layers(inner), made.steps, strict=True):
        kernel = dense.kernel.numpy().T
        plain = gptq.plain_scale(kernel, np.ones(kernel.shape[1]), 2)[:, 0]
        step.assign(np.log2(plain))
    made.compile(keras.optimizers.Adam(3e-3), "mse")
    targets = model.predict(photos, verbose=0)
    before, start = made.evaluate(photos, targets, verbose=0), made.get_weights()

    made.fit(photos, targets, epochs=40, batch_size=20, verbose=0)

    assert made.evaluate(photos, targets, verbose=0) < 0.3 * before
    pairs = zip(start, made.get_weights(), strict=True)
    norms = 2 * 5  # scale and offset of each stand in the weights behind them
    assert len(model.weights) + 10 - norms == len(made.trainable_weights)
    assert len(made.trainable_weights) == sum((a != b).any() for a, b in pairs)


def test_the_file_holds_what_was_trained(twin, photos, tmp_path):
    """Integers and steps reach the file: it answers as the trained model does."""

    result = export.to_tflite(twin, tmp_path / "m.tflite", "int4", verbose=0)

    got = open_file(result)(photos)[0]
    assert decibel(twin.predict(photos, verbose=0), got) > 30
    _, plan = twin.finished()
    held = [t.data for t in TFLiteGraph(result.path).tensors if t.type == INT4]
    wanted = [row.integers for row in plan.rows if row.bits == 4]
    assert held and len(wanted) == len(held)
    for one in wanted:
        assert any(one.shape == x.shape and (one == x).all() for x in held)


def test_an_app_gets_the_recipe_that_was_trained(twin, tmp_path):
    """Without images, and without the recipe being named again."""
    result = export.export_for(twin, tmp_path / "app", "android", verbose=0)

    assert "int4" == result.exported.quantization
    assert "TFLite int4 (which the model was trained for)" in result.notes[0]


def test_saved_and_loaded(twin, photos, tmp_path):
    """A `.keras` file keeps weights, steps, bits and recipe."""
    twin.save(tmp_path / "m.keras")

    loaded = keras.models.load_model(tmp_path / "m.keras")

    assert (twin.bits, "int4") == (loaded.bits, loaded.recipe)
    expected = twin.predict(photos[:4], verbose=0)
    np.testing.assert_allclose(expected, loaded.predict(photos[:4], verbose=0), 1e-5)


def test_rounding_forward_identity_backward():
    """Multiples of the step in range; the gradient is 1 inside and 0 outside."""
    import tensorflow as tf

    kernel = tf.constant([[0.26, -0.9, 3.0]])
    step = tf.constant([0.1, 0.1, 0.1])
    with tf.GradientTape() as tape:
        tape.watch([kernel, step])
        rounded = fake_quant.fake_weight(kernel, step, bits=4)
        total = tf.reduce_sum(rounded)
    inner, scale = tape.gradient(total, [kernel, step])

    np.testing.assert_allclose([[0.3, -0.8, 0.7]], rounded, atol=1e-6)
    np.testing.assert_allclose([[1.0, 0.0, 0.0]], inner, atol=1e-6)
    # round(w / s) - w / s inside, the bound outside; times 1 / sqrt(1 * 7).
    np.testing.assert_allclose(
        np.array([0.4, -8.0, 7.0]) / np.sqrt(7), scale, atol=1e-5
    )


def test_tokens_are_rounded_each_by_itself():
    """256 levels between least and greatest, 0 among them."""
    tokens = np.array([[0.0, 1.0, 0.5], [-100.0, 155.0, 0.4]], "float32")

    got = keras.ops.convert_to_numpy(fake_quant.fake_tokens(tokens))

    np.testing.assert_allclose(tokens[0], got[0], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose([-100.0, 155.0, 0.0], got[1], atol=1e-4)


@pytest.fixture(
    scope="module",
    params=[pytest.param("static_int8", marks=pytest.mark.slow), "full_int8"],
)
def ranged(request, tiny, photos):
    """A model with a massive hidden unit under 8-bit ranges, trained a little."""
    model = spiked(tiny(layer_scale=0.5, depth=1))
    made = finetune.quantize_aware(model, request.param, photos)
    made.start = [weight.numpy() for weight in made.trainable_weights]
    made.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    made.fit(photos, model.predict(photos, verbose=0), batch_size=20, verbose=0)
    return made


def spiked(model):
    """One hidden unit of the first block dwarfs all others, as on trained models."""
    first = model.get_layer("block_0").mlp.fc1
    bias = first.bias.numpy()
    bias[3] = 60.0
    first.bias.assign(bias)
    return model


def test_ranges_and_integers_reach_the_file(ranged, photos, tmp_path):
    """The file answers as the trained model does, with its very codes and ranges."""
    images = photos if ranged.recipe == "full_int8" else None

    result = export.to_tflite(
        ranged, tmp_path / "m.tflite", ranged.recipe, calibration=images, verbose=0
    )

    got = open_file(result)(photos)[0]
    assert decibel(ranged.predict(photos, verbose=0), got) > 25
    graph, (_, plan) = TFLiteGraph(result.path), ranged.finished()
    held = [
        t.data.tobytes() for t in graph.tensors if t.type == INT8 and t.data is not None
    ]
    assert {row.integers.tobytes() for row in plan.rows} <= set(held)
    scales = {
        float(t.scale[0]) for t in graph.tensors if t.type == INT8 and t.data is None
    }
    # Between the layers of an MLP, the file counts in units that its sigmoid wants.
    scales |= {scale / QUICK for scale in scales}
    learned = [row.given for row in plan.rows if row.given and row.result]
    inner = learned[1 if ranged.recipe == "full_int8" else 0 :]
    for low, high in inner:
        assert min(abs(scale - (high - low) / 255) for scale in scales) < 1e-6
    bounds = [row.bound for row in plan.rows if row.bound is not None]
    assert [[3]] == [np.flatnonzero(b < 1e9).tolist() for b in bounds]
    if ranged.recipe == "full_int8":
        assert not [t for t in graph.tensors if t.type == FLOAT32]


def test_all_that_can_learn_does(ranged):
    """Weights, steps and both ends of every range were moved by training."""
    pairs = zip(ranged.start, ranged.trainable_weights, strict=True)

    assert [] == [now.path for old, now in pairs if (old == now.numpy()).all()]
    assert len(ranged.sites) == len(ranged.given) == len(ranged.steps) == 6


def test_ranges_are_saved_and_loaded(ranged, photos, tmp_path):
    """A `.keras` file keeps ranges and bounds beside weights and steps."""
    ranged.save(tmp_path / "m.keras")

    loaded = keras.models.load_model(tmp_path / "m.keras")

    expected = ranged.predict(photos[:4], verbose=0)
    np.testing.assert_allclose(expected, loaded.predict(photos[:4], verbose=0), 1e-5)


def test_a_range_is_learned_at_its_ends():
    """256 codes, 0 among them; values outside pull at the end they lie beyond."""
    import tensorflow as tf

    values = tf.constant([-9.0, -1.0, 0.0, 0.4, 9.0])
    low, high = tf.Variable(-1.0), tf.Variable(1.55)
    with tf.GradientTape() as tape:
        tape.watch(values)
        rounded = fake_quant.fake_range(values, low, high)
        total = tf.reduce_sum(rounded * [1.0, 0.0, 0.0, 0.0, 1.0])
    inner, *ends = tape.gradient(total, [values, low, high])

    np.testing.assert_allclose([-1.0, -1.0, 0.0, 0.4, 1.55], rounded, atol=1e-6)
    np.testing.assert_allclose([0, 0, 0, 0, 0], inner, atol=1e-6)
    np.testing.assert_allclose([1.0, 1.0], ends, atol=1e-3)


@pytest.mark.slow
def test_training_regains_what_rounding_loses(tiny, tmp_path):
    """Values 300 times apart do not fit one 8-bit range; on images not trained on."""
    model = tiny()
    for attention in (model.get_layer(f"block_{k}").attention for k in range(2)):
        factor = np.geomspace(1, 300, 16).astype("float32")
        whole = np.concatenate([np.ones(32, "float32"), factor])
        attention.qkv.kernel.assign(attention.qkv.kernel * whole)
        attention.qkv.bias.assign(attention.qkv.bias * whole)
        attention.proj.kernel.assign(attention.proj.kernel / factor[:, None])
    images = np.random.default_rng(0).uniform(-1, 1, (704, 32, 32, 3)).astype("float32")
    targets = model.predict(images, verbose=0)
    made = finetune.quantize_aware(model, "static_int8", images[:64])
    before = decibel(targets[640:], made(images[640:]).numpy())
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 200)
    made.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)

    made.fit(images[:640], targets[:640], epochs=10, batch_size=32, verbose=0)

    result = export.to_tflite(made, tmp_path / "m.tflite", "static_int8", verbose=0)
    after = decibel(targets[640:], open_file(result)(images[640:])[0])
    assert after > before + 5


def test_wrong_use(twin, model, photos, tmp_path, exported):
    """Another recipe, too few images, a file of another model: what to do."""
    with pytest.raises(
        ValueError, match="recipe: must be one of 'static_int8'.*'float16'"
    ):
        finetune.quantize_aware(model, "float16", photos)
    convolution = keras.layers.Conv2D(4, 3)
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(5)(keras.layers.Flatten()(convolution(inputs)))
    with pytest.raises(
        UnsupportedLayer, match="must be dense, got Conv2D.*static_int8"
    ):
        finetune.quantize_aware(keras.Model(inputs, outputs), "full_int8", photos)
    with pytest.raises(ValueError, match="at least 32 images, got 4. Pass training"):
        finetune.quantize_aware(model, "int4", photos[:4])
    with pytest.raises(ValueError, match="must be 'int4'.*got None. Export model.fin"):
        export.to_tflite(twin, tmp_path / "m.tflite")
    with pytest.raises(ValueError, match="calibration: must be None.*Leave it out"):
        export.to_tflite(twin, tmp_path / "m.tflite", "int4", calibration=photos)
    _, plan = twin.finished()
    with pytest.raises(UnsupportedLayer, match="weights it was trained with.*Dense"):
        int4.int4(exported["tflite"].path, tmp_path / "m.tflite", plan, 0)
    assert [] == list(tmp_path.iterdir())


def test_layers_are_put_back(tiny, images):
    """After an error inside a layer, the model computes as before."""
    model = tiny()
    expected = model(images).numpy()
    with pytest.raises(KeyboardInterrupt):
        with prepare_model.replacing_method(
            prepare_model.dense_layers(model), interrupt
        ):
            model(images)

    np.testing.assert_array_equal(expected, model(images).numpy())


def interrupt(*_):
    """Stands in for a layer that is interrupted."""
    raise KeyboardInterrupt
