import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_vit import export, layers
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.conversion import through_tf2onnx
from keras_vit.export.io.io_spec import check_images, contract_of
from keras_vit.export.io.reference import Reference
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.preprocess import to_pixels

LARGEST = 1e-4  # of a float32 file, on logits


@pytest.mark.parametrize("name", ["savedmodel", "tflite", "onnx"])
def test_float_files_answer_as_the_model_does(name, exported, model, photos):
    """Value, dtype, shape and number of outputs are those of the model."""
    expected = model.predict(photos[:3], verbose=0)

    got = open_file(exported[name])(photos[:3])

    assert 1 == len(got)
    assert (expected.dtype, expected.shape) == (got[0].dtype, got[0].shape)
    np.testing.assert_allclose(got[0], expected, atol=LARGEST, rtol=0)
    assert exported[name].largest_difference < LARGEST


def test_int8_is_smaller_and_close(exported, model, photos):
    """8-bit weights shrink the file and keep most of the signal."""
    expected = model.predict(photos[:3], verbose=0)

    got = open_file(exported["int8"])(photos[:3])[0]

    assert exported["int8"].size_bytes < exported["tflite"].size_bytes
    assert "int8" == open_file(exported["int8"]).precision
    assert "float32" == open_file(exported["tflite"]).precision
    assert 0 < np.abs(got - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "batch"), [("savedmodel", None), ("tflite", 1), ("int8", 1), ("onnx", 1)]
)
def test_inputs_and_outputs_have_names(name, batch, exported):
    """`image` goes in, `logits` come out; one image unless asked otherwise."""
    result = exported[name]

    assert [("image", "float32", (batch, 32, 32, 3))] == [
        (t.name, t.dtype, t.shape) for t in result.inputs
    ]
    assert [("logits", "float32", (batch, 5))] == [
        (t.name, t.dtype, t.shape) for t in result.outputs
    ]
    assert json.loads(json.dumps(result.to_dict()))["path"] == str(result.path)


def test_savedmodel_stores_each_weight_once(exported, model):
    """The folder is little bigger than the weights plus the graph."""
    weights = exported["savedmodel"].path / "variables"
    stored = sum(file.stat().st_size for file in weights.iterdir())

    assert stored < 1.5 * 4 * model.count_params() + 10_000


@pytest.mark.parametrize("name", ["tflite", "int8"])
def test_tflite_is_static_and_builtin(name, exported):
    """No custom operator, no variable, nothing above rank 4, no open shape."""
    facts = tflite_file.audit(exported[name].path)

    tflite_file.check(name, facts, static=True)
    assert 4 == facts.highest_rank[0]
    assert () == facts.open_tensors
    assert {"GELU", "SOFTMAX", "FULLY_CONNECTED", "BATCH_MATMUL"} <= set(
        facts.operators
    )
    assert not {"NEG", "SHAPE", "VAR_HANDLE"} & set(facts.operators)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"operators": {"CUSTOM:FlexErfc": 1}}, "FlexErfc"),
        ({"operators": {"VAR_HANDLE": 1}}, "VAR_HANDLE"),
        ({"highest_rank": (5, "deep", "RESHAPE")}, "rank 5 from RESHAPE"),
        ({"open_tensors": ("wide",)}, "open one in 'wide'"),
    ],
)
def test_audit_names_what_phones_refuse(facts, message):
    """Each kind of trouble is an error with the operator's name."""
    fine = tflite_file.Audit({"ADD": 1}, (4, "a", "ADD"), (), frozenset())

    tflite_file.check("m.tflite", fine, static=True)
    with pytest.raises(UnsupportedLayer, match=message):
        tflite_file.check("m.tflite", dataclasses.replace(fine, **facts), static=True)


@keras.saving.register_keras_serializable("keras_vit_tests")
class Igamma(keras.layers.Layer):
    """A layer that only TensorFlow itself can run."""

    def call(self, x):
        """The incomplete gamma function."""
        import tensorflow as tf

        return tf.math.igamma(tf.ones_like(x), x * x)


def foreign(middle):
    """A small convolutional model with one layer to be tried."""
    image = keras.Input((16, 16, 3), name="picture")
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(middle(x))
    return keras.Model(image, keras.layers.Dense(3)(x), name="foreign")


def test_tflite_names_an_operator_it_cannot_write(tmp_path):
    """An operator without builtin counterpart is an error that names the layer."""
    message = "got tf.Igamma in layer 'inner/my_gamma'. Replace .*to_savedmodel"
    inner = keras.Sequential([Igamma(name="my_gamma")], name="inner")
    with pytest.raises(UnsupportedLayer, match=message):
        export.to_tflite(foreign(inner), tmp_path / "m.tflite", verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_onnx_names_a_layer_it_cannot_write(tmp_path):
    """An operator that does not exist is an error that names the layer."""
    middle = keras.layers.Activation("gelu", name="my_gelu")
    model = foreign(keras.Sequential([keras.layers.DepthwiseConv2D(1), middle]))

    with pytest.raises(UnsupportedLayer, match="Erfc in layer '.*my_gelu.*GELU"):
        export.to_onnx(model, tmp_path / "m.onnx", verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_onnx_gives_advice_that_fits():
    """Nobody is told to write GELU in place of a decomposition."""
    import onnx

    node = onnx.helper.make_node("Svd", ["x"], ["y"], name="user_1/my_svd_1/Svd")
    made = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))

    with pytest.raises(UnsupportedLayer, match="Svd in layer 'my_svd'. Replace") as err:
        through_tf2onnx._refuse_unknown(made)
    assert "GELU" not in str(err.value)


def test_other_models_go_to_onnx_through_tf2onnx(tmp_path):
    """A model without any layer of ours has the same adapter and proof."""
    result = export.to_onnx(
        foreign(keras.layers.ReLU()), tmp_path / "m.onnx", dynamic_batch=True, verbose=0
    )

    assert "Conv" in result.operators
    assert [("image", (None, 16, 16, 3))] == [(t.name, t.shape) for t in result.inputs]
    assert [("logits", (None, 3))] == [(t.name, t.shape) for t in result.outputs]


def test_sixteen_bit_models_are_exported_in_float32(tiny, tmp_path):
    """The file holds float32 weights and is compared with a float32 run."""
    model = tiny(dtype="mixed_bfloat16", pooling="map")

    result = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    assert result.largest_difference < LARGEST
    assert "float32" in result.notes[0]
    reference = Reference(model)
    assert reference.rebuilt and reference.model is not model
    assert {"float32"} == {layer.compute_dtype for layer in reference.model.layers}
    assert "mixed_bfloat16" == model.get_layer("block_0").dtype_policy.name


def test_an_untrained_head_is_pointed_out(tmp_path):
    """Equal answers to all images prove little, and the result says so."""
    import keras_vit

    model = keras_vit.VisionTransformer(
        image_size=16, patch_size=8, width=8, depth=1, heads=1, mlp_dim=8, classes=2
    )

    result = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    assert "same answer" in result.notes[0]
    assert "untrained" in str(result)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"include_top": False}, "features"),
        ({"classifier_activation": "softmax"}, "probabilities"),
        ({"distilled": True}, "logits"),
    ],
)
def test_outputs_are_called_what_they_are(options, name, tiny):
    """Features, probabilities and logits are told apart."""
    assert name == contract_of(tiny(**options), dynamic_batch=False).outputs[0].name


def test_only_models_that_take_one_image_have_a_contract():
    """Anything else is refused with the way out."""
    word = keras.Input((7,))
    loose = keras.Input((None, None, 3))
    whole = keras.Input((8, 8, 3), dtype="int32")
    flat, pool = keras.layers.Flatten(), keras.layers.GlobalAveragePooling2D()

    with pytest.raises(TypeError, match="functional or Sequential.*got str"):
        contract_of("model.keras", False)
    with pytest.raises(ValueError, match="one image of a fixed size"):
        contract_of(keras.Model(word, keras.layers.Dense(2)(word)), False)
    with pytest.raises(ValueError, match="one image of a fixed size"):
        contract_of(keras.Model(loose, pool(loose)), False)
    with pytest.raises(ValueError, match="float images, got dtype int32"):
        contract_of(keras.Model(whole, flat(whole)), False)


def test_diverged_models_are_refused(tiny, tmp_path):
    """NaN in the model is an error about the model, before any conversion."""
    model = tiny()
    model.get_layer("head").bias.assign(np.full(5, np.nan, "float32"))

    with pytest.raises(ValueError, match="finite outputs.*'logits'"):
        export.to_onnx(model, tmp_path / "m.onnx", verbose=0)


def test_models_quantized_by_keras_are_refused(tiny, tmp_path):
    """Their integer products have no TFLite counterpart; the error says what to do."""
    model = tiny()
    model.get_layer("head").quantize("int8")

    with pytest.raises(ValueError, match="'head' quantized.*dynamic_int8"):
        export.to_tflite(model, tmp_path / "m.tflite", verbose=0)


def test_check_images_are_in_the_model_s_range(tiny):
    """They fill the range of the mode, are not all alike, and repeat exactly."""
    contract = contract_of(tiny(), False)

    images = check_images(contract, count=2)

    assert ((2, 32, 32, 3), "float32") == (images.shape, images.dtype.name)
    assert -1 <= images.min() < -0.3 and 0.3 < images.max() <= 1
    assert np.abs(images[0] - images[1]).max() > 0.1
    np.testing.assert_array_equal(images, check_images(contract, count=2))


@pytest.mark.parametrize("mode", ["google", "imagenet", "none"])
def test_pixels_come_back_from_any_range(mode):
    """`to_pixels` undoes `preprocess_input`."""
    import keras_vit

    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("uint8")

    back = to_pixels(keras_vit.preprocess_input(pixels.astype("float32"), mode), mode)

    np.testing.assert_array_equal(pixels, back)


def test_layers_used_alone_are_written_too(tmp_path):
    """A stack that a user built from our layers needs no tf2onnx."""
    image = keras.Input((16, 16, 1))
    x = layers.PatchEncoder(8, class_tokens=0)(layers.Patches(4)(image))
    x = layers.LayerScale(0.5)(layers.MLP(16)(layers.Attention(2)(x)))
    x = keras.layers.Reshape((4, 4, 8))(layers.LayerNorm()(x))
    model = keras.Model(image, x[:, 0, 1:3])

    result = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    assert (1, 2, 8) == result.outputs[0].shape
    assert "LayerNormalization" in result.operators
