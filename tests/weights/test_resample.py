"""Resampling of positions and patch kernels against the reference implementations."""

import numpy as np
import pytest

from keras_vit.layers.interpolate import matrix
from keras_vit.layers.position import sincos2d
from keras_vit.weights import resample


def kernel(method, antialias):
    """(method, antialias) as our matrices call it."""
    if method == "zoom1":
        return "zoom", False
    if method == "bicubic" and not antialias:
        return "bicubic_torch", False  # PyTorch's cubic differs without antialias
    return method, antialias


@pytest.mark.parametrize(("old", "new"), [(14, 24), (24, 14)])
@pytest.mark.parametrize(
    "name",
    ["zoom1", "bilinear_False", "bilinear_True", "bicubic_False", "bicubic_True"],
)
def test_matrices_equal_the_recorded_functions(name, old, new, shared):
    """Every kernel that checkpoints are resampled with, growing and shrinking."""
    found = np.load(shared / "fixtures" / "golden" / "misc.npz")
    grid = found[f"posembed/g_{old}_{new}"]
    expected = found[f"posembed/out/g_{old}_{new}_{name}"]
    method, _, antialias = name.partition("_")

    weights = matrix(old, new, *kernel(method, antialias == "True"))
    got = np.einsum("ph,qw,hwc->pqc", weights, weights, grid)

    # recorded in float32, coordinates included; values up to 3.3
    assert 5e-6 > np.abs(expected - got).max()


def test_positions_equal_the_recorded_functions(shared):
    """vit_jax and timm, square or not, with and without a class token."""
    folder = shared / "fixtures" / "checkpoints"
    google = np.load(folder / "functions_google.npz")
    torch = np.load(folder / "functions_torch.npz")
    cases = [
        (google["posemb_old_4x4x8"], google["posemb_zoom_6x6x8"], (6, 6), 0, "zoom"),
    ]
    old, new = google["posemb_old_cls_17x8"], google["posemb_zoom_cls_50x8"]
    cases += [(old, new, (7, 7), 1, "zoom")]
    old, timm = torch["timm_old_cls_17x8"], "bicubic_antialias"
    cases += [(old, torch["timm_resampled_6x6_cls"], (6, 6), 1, timm)]
    cases += [(old, torch["timm_resampled_3x5_cls"], (3, 5), 1, timm)]

    for table, expected, grid, prefix, how in cases:
        got = resample.positions(table, (4, 4), grid, prefix, how)
        assert expected.shape == got.shape
        assert 1e-6 > np.abs(expected - got).max()


def test_sincos_tables_equal_the_recorded_ones(shared):
    """big_vision's and MAE's tables, which differ in their frequencies."""
    folder = shared / "fixtures" / "checkpoints"
    google = np.load(folder / "functions_google.npz")
    torch = np.load(folder / "functions_torch.npz")
    golden = np.load(shared / "fixtures" / "golden" / "bv_posemb_sincos2d.npz")
    mae = np.pad(sincos2d((4, 4), 16, reach_last=False), ((1, 0), (0, 0)))
    cases = [
        (google["sincos2d_bigvision_4x4x16"], sincos2d((4, 4), 16)),
        (google["sincos2d_bigvision_3x5x32"], sincos2d((3, 5), 32)),
        (torch["mae_sincos_4x4x16_cls"], mae),
    ]
    for name in golden.files:
        expected = golden[name].reshape(-1, golden[name].shape[-1])
        if len(expected) in (35, 196):
            grid = (7, 5) if len(expected) == 35 else (14, 14)
            cases.append((expected, sincos2d(grid, expected.shape[1])))
    assert 5 == len(cases)

    for expected, got in cases:
        assert 1e-6 > np.abs(expected - got).max()


@pytest.mark.parametrize("how", resample.KERNELS)
def test_same_grid_is_the_identity(how):
    """No kernel changes a table that fits already."""
    table = np.random.default_rng(0).normal(size=(1, 13, 4)).astype("float32")

    got = resample.positions(table, (3, 4), (3, 4), 1, how)

    assert 1e-6 > np.abs(table - got).max()


def test_constant_stays_constant():
    """Rows of every matrix sum to one, so a constant table stays what it is."""
    for method in ("nearest", "bilinear", "bicubic", "bicubic_torch", "area", "zoom"):
        for antialias in (False, True):
            if antialias and method not in ("bilinear", "bicubic"):
                continue
            for old, new in ((7, 3), (3, 7), (5, 1), (1, 4), (256, 224)):
                weights = matrix(old, new, method, antialias)
                assert (new, old) == weights.shape
                assert np.allclose(1.0, weights.sum(axis=1), atol=1e-12)


def test_patch_kernel_keeps_inner_products():
    """A larger kernel gives for enlarged patches what the old one gave for these."""
    rng = np.random.default_rng(0)
    kernel_, patch = rng.normal(size=(4, 4, 3, 5)), rng.normal(size=(4, 4, 3))
    large = resample.patch_kernel(kernel_.astype("float32"), (7, 6))
    down, across = matrix(4, 7), matrix(4, 6)
    enlarged = np.einsum("ph,qw,hwc->pqc", down, across, patch)

    expected = np.einsum("hwc,hwcd->d", patch, kernel_)
    assert np.allclose(expected, np.einsum("hwc,hwcd->d", enlarged, large), atol=1e-5)
    same = resample.patch_kernel(kernel_.astype("float32"), (4, 4))
    assert np.allclose(kernel_, same, atol=1e-6)
