"""Fine-tuning under integers: it starts well, learns, saves, and reaches the file."""

import keras
import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.compare import Tally
from keras_vit.export.quantization import gptq, int4, models, qat
from keras_vit.export.quantization.graph import INT4, Graph
from keras_vit.export.runtimes import open_file


@pytest.fixture(scope="module")
def twin(tiny, photos):
    """A tiny model made ready for 4 bits, and trained a little."""
    model = tiny()
    made = qat.quantize_aware(model, "int4", photos)
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
    expected = tiny().predict(photos, verbose=0)

    assert decibel(expected, twin.predict(photos, verbose=0)) > 15


@pytest.mark.slow
def test_it_learns(tiny, photos):
    """From 2 bits, rounded to the nearest, weights and steps learn the answers."""
    model = tiny()
    inner = models.fold_norm_scale(model)
    made = qat.QuantizationAware(inner, [2] * 10)
    for dense, step in zip(models.dense_layers(inner), made.steps, strict=True):
        kernel = dense.kernel.numpy().T
        step.assign(gptq.plain_scale(kernel, np.ones(kernel.shape[1]), 2)[:, 0])
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
    held = [t.data for t in Graph(result.path).tensors if t.type == INT4]
    wanted = [integers for integers, _, bits in plan.rows if bits == 4]
    assert held and len(wanted) == len(held)
    for one in wanted:
        assert any(one.shape == x.shape and (one == x).all() for x in held)


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
        rounded = qat.fake_weight(kernel, step, bits=4)
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

    got = keras.ops.convert_to_numpy(qat.fake_tokens(tokens))

    np.testing.assert_allclose(tokens[0], got[0], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose([-100.0, 155.0, 0.0], got[1], atol=1e-4)


def test_wrong_use(twin, model, photos, tmp_path, exported):
    """Another recipe, too few images, a file of another model: what to do."""
    with pytest.raises(ValueError, match="recipe must be 'int4', got recipe='float16'"):
        qat.quantize_aware(model, "float16", photos)
    with pytest.raises(ValueError, match="at least 32 images, got 4. Pass training"):
        qat.quantize_aware(model, "int4", photos[:4])
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
        with models.replaced(models.dense_layers(model), interrupt):
            model(images)

    np.testing.assert_array_equal(expected, model(images).numpy())


def interrupt(*_):
    """Stands in for a layer that is interrupted."""
    raise KeyboardInterrupt
