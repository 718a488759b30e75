"""A ResNet in front of a Vision Transformer."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import variants, weights
from keras_vit.errors import CheckpointError
from keras_vit.layers import BottleneckUnit, GroupNorm, StdConv

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
COUNTS = {  # at 224 px, 1000 classes; vit_jax
    "R_Ti16": 6_337_704,
    "R26_S32": 36_431_912,
    "R26_B32": 101_383_976,
    "R50_B16": 98_659_112,
    "R50_L32": 328_994_856,
}
GRIDS = {"R_Ti16": 7, "R26_S32": 7, "R26_B32": 7, "R50_B16": 14, "R50_L32": 7}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_grids(name):
    """Parameters and patch grids at 224 px are those of vit_jax."""
    model = keras_vit.models.abstract_model(getattr(keras_vit.models.named, name))

    listed = dict(zip(variants.FUNCTIONS, variants.PARAMETERS.values(), strict=True))
    assert COUNTS[name] == model.count_params() == listed[name]
    assert (GRIDS[name],) * 2 == model.get_layer("patch_encoder").grid
    assert name == model.name


def test_every_hybrid_is_counted():
    """The table of hybrids and the golden counts are the same set."""
    assert COUNTS.keys() == variants.HYBRIDS.keys()


@pytest.mark.parametrize("name", ["R50+B/16", "R50+ViT-B/16", "R50_B16"])
def test_spellings(name):
    """All names of a hybrid mean the same."""
    variant = variants.parse(name)

    assert ("R50", "B", 16) == variant
    assert ((3, 4, 9), 1) == (variant.stem, variant.patch)


def test_unknown_hybrid():
    """A ResNet and a size that were never combined are no model."""
    with pytest.raises(ValueError, match=r"no variant 'R50\+S/16'. Did you mean"):
        variants.parse("R50+S/16")


def test_standardised_kernel_has_mean_0_and_deviation_1():
    """Statistics are per output filter, over rows, columns and channels."""
    layer = StdConv(4, 3)
    layer.build((None, 8, 8, 5))

    kernel = ops.convert_to_numpy(layer.standardised_kernel())

    assert np.allclose(0.0, kernel.mean(axis=(0, 1, 2)), atol=1e-6)
    assert np.allclose(1.0, kernel.std(axis=(0, 1, 2)), atol=1e-3)


def test_group_norm_of_known_values():
    """Groups are neighbouring channels, over the whole image."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 64)).astype("float32")
    groups = x.reshape(2, 12, 32, 2)
    mean = groups.mean(axis=(1, 3), keepdims=True)
    variance = groups.var(axis=(1, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)

    assert np.allclose(expected, ops.convert_to_numpy(GroupNorm()(x)), atol=1e-5)
    with pytest.raises(ValueError, match="must be a multiple of 32, got 33"):
        GroupNorm().build((None, 2, 2, 33))


@pytest.mark.parametrize("strides", [1, 2])
def test_unit_starts_as_its_shortcut(strides):
    """The last scale starts at zero, so only the shortcut passes."""
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 128)).astype("float32")
    unit = BottleneckUnit(32, strides=strides)

    got = unit(x)

    assert unit.compute_output_shape(x.shape) == got.shape
    shortcut = x if strides == 1 else unit.norm_proj(unit.conv_proj(x))
    shortcut, got = map(ops.convert_to_numpy, (shortcut, got))
    assert np.allclose(np.maximum(0.0, shortcut), got, atol=1e-6)


@pytest.fixture
def hybrid(tiny):
    """A tiny hybrid of two stages."""
    return tiny(stem=(1, 1), image_size=64, patch_size=1)


def test_saved_model_is_the_same(hybrid, tmp_path):
    """A hybrid survives `.keras`."""
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    hybrid.save(tmp_path / "x.keras")

    loaded = keras.saving.load_model(tmp_path / "x.keras")

    expected, got = (ops.convert_to_numpy(m(images)) for m in (hybrid, loaded))
    assert np.array_equal(expected, got)


def test_mixed_precision(tiny):
    """Norms stay in float32, logits too."""
    model = tiny(stem=(), image_size=64, patch_size=4, dtype="mixed_bfloat16")

    logits = model(np.zeros((1, 64, 64, 3), "float32"))

    assert "float32" == keras.backend.standardize_dtype(logits.dtype)
    assert np.isfinite(ops.convert_to_numpy(logits)).all()


def test_wrong_sizes(tiny):
    """Image sizes and stems that do not fit name the way out."""
    with pytest.raises(ValueError, match=r"whole patches, got .*40.*multiples of 16"):
        tiny(stem=(), image_size=40, patch_size=4)
    with pytest.raises(ValueError, match=r"stem: must be units per stage.*\(0,\)"):
        tiny(stem=(0,))


@pytest.fixture(scope="module")
def maker():
    """The script that recorded timm's logits; it knows the weights and images."""
    path = GOLDEN / "make_timm_hybrids.py"
    spec = importlib.util.spec_from_file_location("make_timm_hybrids", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def timm_file(maker, tmp_path):
    """A function that writes the state dict of a case: name -> path."""

    def write(case):
        found = np.load(GOLDEN / "timm_hybrids.npz")
        shapes = [tuple(map(int, s.split())) for s in found[f"{case}/shapes"]]
        names = found[f"{case}/names"].tolist()
        path = tmp_path / f"{case}.npz"
        np.savez(path, **dict(zip(names, maker.values(names, shapes), strict=True)))
        return path, found[f"{case}/logits"], maker.pixels(maker.CASES[case][2])

    return write


@pytest.mark.parametrize("case", ["root", "stages"])
def test_timm_files_give_the_logits_of_timm(case, timm_file, tmp_path):
    """Root alone and two stages, read off the names; written back bit for bit."""
    path, expected, images = timm_file(case)

    model = weights.from_checkpoint(path, heads=4, image_size=images.shape[1:3])

    assert (case == "stages") == ("stage2_unit2" in [x.name for x in model.layers])
    got = ops.convert_to_numpy(model(images))
    assert np.abs(expected - got).max() < 2e-5 * np.abs(expected).max()
    again = weights.save_checkpoint(model, tmp_path / "x.safetensors", "timm")
    for ours, theirs in zip(
        weights.from_checkpoint(again, verbose=0).weights, model.weights, strict=True
    ):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))


def test_other_backbones_of_timm_are_refused(timm_file):
    """A ResNet without a root, or with a hole, is named."""
    path, *_ = timm_file("stages")
    arrays = dict(np.load(path))
    np.savez(path, **{k: v for k, v in arrays.items() if ".stages.0." not in k})

    with pytest.raises(CheckpointError, match=r"without a gap, got \[1\]. Other back"):
        weights.from_checkpoint(path, heads=4, image_size=(48, 64))
