"""Convolutional networks as files: standardised kernels are constants in them."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.formats.onnx.exporter import unwritable
from keras_vit.export.io.fold_standardized_convs import fold_standardized_convs
from keras_vit.export.io.io_spec import check_images, contract_of
from keras_vit.export.io.reference import Reference
from keras_vit.layers import StdConv
from keras_vit.models import BigTransfer

# name -> convolutions, at a size whose halves are odd.
NETS = {"hybrid": 5, "bit": 9}
SIZE = (36, 28)


def own_stem():
    """A network of plain Keras layers, as users bring."""
    image = keras.Input((None, None, 3))
    x = keras.layers.ZeroPadding2D(1)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    y = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    return keras.Model(image, keras.layers.Add()([x, y]), name="stem")


def randomised(model):
    """The model with other values than zeros and ones."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        around = weight.name in ("gamma", "moving_variance")
        noise = np.abs(rng.normal(0, 0.1, weight.shape))
        weight.assign(around + (noise if around else rng.normal(0, 0.1, weight.shape)))
    return model


@pytest.fixture(scope="module")
def nets(tiny):
    """Name -> model."""
    return {
        "hybrid": tiny(stem=(1,), image_size=SIZE, patch_size=1),
        "bit": randomised(
            BigTransfer(image_size=SIZE, units=(1, 1), filters=(32, 32), classes=5)
        ),
        "own": randomised(tiny(stem=own_stem(), image_size=SIZE, patch_size=1)),
    }


def checked(model, path, write):
    """Export without a word, and verify on other images than the proof's."""
    result = write(model, path, verbose=0)
    images = check_images(contract_of(model, False), 2, seed=7)

    report = export.verify(model, path, images)

    assert report.passed and result.largest_difference < 1e-4
    return result.operators


@pytest.mark.parametrize("name", NETS)
def test_savedmodel_has_no_standardisation(name, nets, tmp_path):
    """Nothing but the convolutions themselves is left of it."""
    operators = checked(nets[name], tmp_path / "saved", export.to_savedmodel)

    assert NETS[name] == operators["Conv2D"]
    assert not {"Sqrt", "RealDiv"} & set(operators)


@pytest.mark.parametrize("name", NETS)
def test_onnx_has_no_standardisation(name, nets, tmp_path):
    """One node per convolution, padded as in Keras at odd sizes too."""
    operators = checked(nets[name], tmp_path / "m.onnx", export.to_onnx)

    assert [] == unwritable(nets[name])
    assert NETS[name] == operators["Conv"]
    assert not {"Sqrt", "Div", "Shape"} & set(operators)


@pytest.mark.parametrize(
    "name", [pytest.param("hybrid", marks=pytest.mark.slow), "bit"]
)
def test_tflite_has_no_standardisation(name, nets, tmp_path):
    """Plain convolutions with constant kernels, as phones' delegates expect."""
    operators = checked(nets[name], tmp_path / "m.tflite", export.to_tflite)

    assert NETS[name] == operators["CONV_2D"]
    assert not {"SQRT", "DIV", "NEG"} & set(operators)


def test_a_network_of_ones_own_goes_to_onnx(nets, tmp_path):
    """Keras' convolution, batch norm, padding, pooling and sum are written directly."""
    operators = checked(nets["own"], tmp_path / "m.onnx", export.to_onnx)

    assert [] == unwritable(nets["own"])
    assert {"Conv": 2, "MaxPool": 1}.items() <= operators.items()


def test_open_stems_go_to_other_sizes_and_fixed_ones_do_not(tiny, tmp_path):
    """Big Transfer of any size as a stem, at another size than the model's."""

    def write(side):
        numbers = {"units": (1,), "filters": (32,), "include_top": False}
        stem = BigTransfer(image_size=(side, side), pooling=None, **numbers)
        model, path = tiny(stem=stem, patch_size=2), tmp_path / f"{side}.onnx"
        return export.to_onnx(model, path, image_size=48, verbose=0)

    result = write(None)

    assert result.largest_difference < 1e-4
    assert (1, 48, 48, 3) == result.inputs[0].shape
    with pytest.raises(UnsupportedLayer, match=r"got \(48, 48\) instead of \(32, 32\)"):
        write(32)


@pytest.mark.slow
def test_a_network_of_ones_own_goes_to_tflite(nets, tmp_path):
    """Batch norms are folded into the convolutions before them."""
    operators = checked(nets["own"], tmp_path / "m.tflite", export.to_tflite)

    assert 2 == operators["CONV_2D"]


def test_channels_first_is_not_written_directly():
    """Such layers go through tf2onnx."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, data_format="channels_first", padding="same")(image)
    model = keras.Model(image, keras.layers.BatchNormalization(axis=1, name="bn")(x))

    assert 2 == len(unwritable(model))


def test_baking_shares_all_but_kernels(nets):
    """The twin answers alike; norms and heads are the same storage, kernels are not."""
    model = nets["bit"]

    twin = fold_standardized_convs(model)

    images = check_images(contract_of(model, False))
    same = [ops.convert_to_numpy(m(images)) for m in (model, twin)]
    np.testing.assert_allclose(*same, atol=1e-5)
    shared = [
        old._value is new._value
        for old, new in zip(model.variables, twin.variables, strict=True)
    ]
    assert NETS["bit"] == shared.count(False)
    assert (
        twin is fold_standardized_convs(twin)
        and model.preprocessing == twin.preprocessing
    )
    assert all(x.baked for x in twin._flatten_layers() if isinstance(x, StdConv))
    assert twin.get_layer("head").kernel._value is model.get_layer("head").kernel._value


def test_answers_are_those_of_the_raw_model(nets, monkeypatch):
    """A file is compared with the model as it was given, not with its twin."""
    reference = Reference(nets["bit"])
    images = check_images(reference.contract)
    expected = nets["bit"].predict(images, verbose=0)
    reference.model.get_layer("root").kernel.assign(
        reference.model.get_layer("root").kernel * 0
    )

    np.testing.assert_allclose(expected, reference(images)[0], atol=1e-5)


def test_nothing_to_bake(nets):
    """A model without such kernels is left as it is."""
    assert nets["own"] is fold_standardized_convs(nets["own"])
    assert keras_vit.models.ImageModel is type(nets["own"])
