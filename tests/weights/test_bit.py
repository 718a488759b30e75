"""Files of Big Transfer: its authors' names, timm's, and back."""

import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import weights
from keras_vit.errors import CheckpointError, WeightsMismatch
from keras_vit.weights.safetensors import write_safetensors

LETTERS = {"a": "1", "b": "2", "c": "3"}


def published_names(found):
    """The golden arrays under the names of big_transfer, some of them numbered."""
    kernels = {k: v.transpose(2, 3, 1, 0) for k, v in found.items() if v.ndim == 4}
    arrays = {
        "resnet/root_block/standardized_conv2d/kernel": kernels["root.conv.weight"],
        "resnet/group_norm/gamma": found["gn.weight"],
        "resnet/group_norm/beta": found["gn.bias"],
        "resnet/head/conv2d/kernel": kernels["fc.weight"],
        "resnet/head/conv2d/bias": found["fc.bias"],
    }
    for n in (1, 2):
        unit = f"resnet/block{n}/unit01"
        for letter, part in LETTERS.items():
            name = f"{unit}/{letter}/standardized_conv2d_{n}/kernel"
            arrays[name] = kernels[f"unit{n}.conv{part}.weight"]
            norm = f"{unit}/{letter}/group_norm"
            arrays[f"{norm}/gamma"] = found[f"unit{n}.gn{part}.weight"]
            arrays[f"{norm}/beta"] = found[f"unit{n}.gn{part}.bias"]
        projection = kernels[f"unit{n}.downsample.weight"]
        arrays[f"{unit}/a/proj/standardized_conv2d/kernel"] = projection
    return arrays


@pytest.fixture(scope="module")
def golden(shared):
    """Weights, image and outputs of the reference code."""
    found = np.load(shared / "fixtures/golden/bit_mini.npz")
    weights = {n[2:]: found[n] for n in found.files if n.startswith("w/")}
    outputs = {n[4:]: found[n] for n in found.files if n.startswith("out/")}
    return weights, found["in/image_nchw"].transpose(0, 2, 3, 1), outputs


@pytest.fixture
def file(golden, tmp_path):
    """The golden weights as a file with published names."""
    path = tmp_path / "BiT-M-R26x1.npz"
    np.savez(path, **published_names(golden[0]))
    return path


@pytest.mark.parametrize("size", [(37, 40), (None, None)], ids=["fixed", "open"])
def test_outputs_equal_the_golden_ones(golden, file, size):
    """Root, both units and logits are those of the original code, at any size."""
    _, images, outputs = golden

    model = weights.from_checkpoint(file, image_size=size, verbose=0)

    assert model.loading_report.clean and (None, *size, 3) == model.input_shape
    layers = {"root": "root_pool", "unit1": "stage1_unit1", "unit2": "stage2_unit1"}
    maps = keras_vit.models.ImageModel(
        model.input, [model.get_layer(name).output for name in layers.values()]
    )
    found = [ops.convert_to_numpy(x).transpose(0, 3, 1, 2) for x in maps(images)]
    found.append(ops.convert_to_numpy(model(images)))
    for name, got in zip((*layers, "logits"), found, strict=True):
        expected = outputs[name]
        assert np.abs(expected - got).max() < 2e-5 * np.abs(expected).max(), name


def test_description(file):
    """The header tells the architecture."""
    told = weights.describe(file)

    assert "bit" == told.family
    assert ((1, 1), (32, 32), 5) == tuple(
        told.architecture[key] for key in ("units", "filters", "classes")
    )


@pytest.mark.parametrize("format", ["google_npz", "timm"])
def test_round_trip_is_the_identity(file, format, tmp_path):
    """Every weight comes back bit for bit; so do epsilon, size, names, preparation."""
    preparation = keras_vit.Preprocessing(mode="imagenet", crop=0.5)
    labels = ["ant", "bee", "cat", "dog", "elk"]
    model = weights.from_checkpoint(
        file, image_size=64, preprocessing=preparation, labels=labels
    )
    path = tmp_path / {"google_npz": "x.npz", "timm": "x.safetensors"}[format]

    loaded = weights.from_checkpoint(weights.save_checkpoint(model, path, format))

    assert loaded.loading_report.clean
    for expected, got in zip(model.weights, loaded.weights, strict=True):
        assert expected.path == got.path
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (expected, got)))
    assert 1e-10 == loaded.get_layer("root").epsilon
    assert model.preprocessing == loaded.preprocessing and labels == loaded.labels
    assert model.input_shape == loaded.input_shape


def test_without_head_and_with_another(file, tmp_path):
    """Features, a new head, and a file that has none."""
    features = weights.from_checkpoint(file, include_top=False, verbose=0)
    assert (None, 128) == features.output_shape
    path = weights.save_checkpoint(features, tmp_path / "features.npz")
    assert (None, 128) == weights.from_checkpoint(path).output_shape

    other = weights.from_checkpoint(file, classes=3, verbose=0)

    assert (None, 3) == other.output_shape
    assert "head/kernel" in other.loading_report.fresh


def test_formats_without_a_name(file, tmp_path):
    """transformers' names are not written."""
    model = weights.from_checkpoint(file, verbose=0)

    with pytest.raises(WeightsMismatch, match="hf: has no name for .*google_npz"):
        weights.save_checkpoint(model, tmp_path / "x", "hf")


def test_wrong_files(golden, file, tmp_path):
    """Other widths, missing units, other variants and big_vision's files are named."""
    arrays = published_names(golden[0])
    path = tmp_path / "bad.npz"
    missing = {k.replace("block2", "block3"): v for k, v in arrays.items()}
    np.savez(path, **missing)
    with pytest.raises(CheckpointError, match=r"from 1 without a gap.*\[1, 3\]"):
        weights.from_checkpoint(path)
    root = "resnet/root_block/standardized_conv2d/kernel"
    np.savez(path, **{**arrays, root: np.zeros((7, 7, 3, 40), "float32")})
    with pytest.raises(CheckpointError, match="multiple of 64 channels, got 40"):
        weights.from_checkpoint(path)
    with pytest.raises(WeightsMismatch, match=r"must hold BiT-R50x1, got units=\(1, 1"):
        keras_vit.BiT_R50x1(weights=file)
    other = {"root_block/conv_root/kernel": np.zeros((7, 7, 3, 64), "float32")}
    write_safetensors(tmp_path / "x.safetensors", other, {})
    with pytest.raises(TypeError, match="a ResNet of big_vision, .*big_transfer"):
        weights.from_checkpoint(tmp_path / "x.safetensors")


def test_a_vision_transformer_has_a_fixed_size(tiny, tmp_path):
    """Only a ResNet takes images of any size."""
    path = weights.save_checkpoint(tiny(), tmp_path / "vit.npz")

    with pytest.raises(ValueError, match=r"fixed size, got \(None, None\)"):
        weights.from_checkpoint(path, image_size=(None, None))
