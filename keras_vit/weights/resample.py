"""Resampling of position tables and patch kernels to another size."""

import numpy as np

from keras_vit.layers.interpolate import matrix

# family -> (method, antialias) of `keras_vit.layers.interpolate.matrix`.
KERNELS = {
    "zoom": ("zoom", False),  # vit_jax, big_vision
    "bicubic_antialias": ("bicubic", True),  # timm
    "bicubic": ("bicubic_torch", False),  # DeiT, MAE, Hugging Face
    "bilinear_antialias": ("bilinear", True),  # big_vision FlexiViT
}


def positions(table, grid, new_grid, prefix, kernel):
    """Resample a position table; rows of prefix tokens stay as they are.

    Args:
        table: (1, prefix + h*w, D). grid: its (h, w). new_grid: the (h, w)
            wanted. prefix: rows before the patches.
        kernel: a key of KERNELS.

    Returns:
        (1, prefix + h'*w', D) float32.

    Source:
        timm layers/pos_embed.py; vit_jax checkpoint.py; DeiT main.py.
    """
    method, antialias = KERNELS[kernel]
    width = table.shape[-1]
    patches = table[:, prefix:].reshape(*grid, width).astype("float64")
    down = matrix(grid[0], new_grid[0], method, antialias)
    across = matrix(grid[1], new_grid[1], method, antialias)
    patches = np.einsum("ph,qw,hwd->pqd", down, across, patches, optimize=True)
    patches = patches.reshape(1, -1, width).astype("float32")
    return np.concatenate([table[:, :prefix], patches], axis=1)


def patch_kernel(kernel, patch_size):
    """Resize a patch kernel so that resized patches give the same tokens.

    With B the matrix that resizes a patch, the new kernel is pinv(B^T) w: the
    inner product with a resized patch is then as close as possible to the one
    with the original.

    Args:
        kernel: (P, P, C, D). patch_size: (rows, columns) wanted, px.

    Returns:
        (P', P', C, D) float32.

    Source:
        Beyer et al. 2022, FlexiViT, arXiv:2212.08013, section 3.4.
    """
    rows, columns, channels, width = kernel.shape
    down = matrix(rows, patch_size[0], "bilinear")
    across = matrix(columns, patch_size[1], "bilinear")
    resize = np.kron(down, across)  # (P'*P', P*P)
    flat = kernel.reshape(rows * columns, channels * width).astype("float64")
    return (
        (np.linalg.pinv(resize.T) @ flat)
        .reshape(*patch_size, channels, width)
        .astype("float32")
    )


def channels(kernel, count):
    """Convert a 3-channel kernel to other channels, as timm does.

    One channel takes the sum over the colours, which is the answer to a grey image in
    all three. More take the colours in turn, scaled so that the sum stays.

    Args:
        kernel: (h, w, 3, D). count: C of the images.

    Returns:
        ((h, w, C, D) array, how).

    Source:
        timm.models._manipulate.adapt_input_conv.
    """
    if count == 1:
        return kernel.sum(axis=2, keepdims=True), "the sum over the colours"
    turns = -(-count // 3)
    repeated = np.tile(kernel, (1, 1, turns, 1))[:, :, :count]
    return repeated * np.float32(3 / count), "the colours in turn, times 3/C"
