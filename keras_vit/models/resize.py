"""A model for images of another size: the same weights, learned positions resampled.

Training starts from such a model, export serves one, and progressive resizing trains
through one: all three ask here, so that they know the same models and refuse the same.
"""

import keras
import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.layers import PatchEncoder
from keras_vit.layers.interpolate import matrix
from keras_vit.models.image_gpt_features import PixelFeatures
from keras_vit.private_keras import share_storage
from keras_vit.weights.resample import KERNELS

POSITIONS = ("embedding", "rows", "columns")  # weights that depend on the grid
KERNEL = "bicubic_antialias"  # a saved model does not say whose it was


def at_size(model, image_size, share=False):
    """A model for images of another size; its learned positions are resampled.

    Args:
        model: functional. image_size: (H, W) px.
        share: whether weights that do not depend on the size are those of `model`
            itself, in the same memory, rather than copies. On JAX, whose arrays never
            change, they are the same until one of the two trains.

    Returns:
        The model itself where it has that size already.

    Raises:
        ValueError: for a size that does not make whole patches, and for a model that is
            not functional.
        UnsupportedLayer: for weights that belong to one size, naming the layer.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.2; bicubic as timm.
    """
    if tuple(model.input_shape[1:3]) == tuple(image_size):
        return model
    resized = type(model).from_config(config_at(model, image_size))
    pairs = list(zip(model.variables, resized.variables, strict=True))
    fits = [fit_of(old, new, model, resized, KERNEL) for old, new in pairs]
    for (old, new), fit in zip(pairs, fits, strict=True):
        if fit is not None:
            new.assign(fit(keras.ops.convert_to_numpy(old.value), np))
        elif share:
            share_storage(new, old)  # a SavedModel then holds it once
        else:
            new.assign(keras.ops.convert_to_numpy(old.value))
    if getattr(model, "preprocessing", None) is not None:
        resized.preprocessing = model.preprocessing.resized(image_size)
    return resized


def config_at(model, size):
    """A functional model's configuration for images of another size.

    Args:
        model: functional. size: (H, W) px.

    Raises:
        ValueError, UnsupportedLayer: as `at_size`.
    """
    config, full = model.get_config(), tuple(model.input_shape[1:3])
    if "layers" not in config:
        raise ValueError("image_size: must be a functional model's, got another kind.")
    for inner in model.layers:
        _check_inside(inner, size)
    layers = []
    for layer in config["layers"]:
        layer = {k: v for k, v in layer.items() if k != "build_config"}
        own = dict(layer["config"])
        if layer["class_name"] == "InputLayer":
            own["batch_shape"] = [None, *size, own["batch_shape"][-1]]
        if own.get("grid") is not None:
            own["grid"] = _grid_at(own["grid"], size, full)
        layers.append({**layer, "config": own})
    rest = {k: v for k, v in config.items() if k != "build_input_shape"}
    return {**rest, "layers": layers}


def _check_inside(layer, size):
    """No layer may be a model of one size, or read pixels of one."""
    if isinstance(layer, PixelFeatures):
        raise UnsupportedLayer(
            f"image_size: an image GPT reads pixels of one size, got {layer.name!r}. "
            "Leave image_size out."
        )
    if isinstance(layer, keras.Model) and None not in layer.input_shape[1:3]:
        raise UnsupportedLayer(
            f"image_size: model {layer.name!r} inside takes one image size, got "
            f"{tuple(size)} instead of {layer.input_shape[1:3]}. Build it with "
            "keras.Input((None, None, C))."
        )


def _grid_at(grid, size, full):
    """Patches a side for another size."""
    wanted = [n * new / old for n, new, old in zip(grid, size, full, strict=True)]
    if any(n != int(n) or n < 1 for n in wanted):
        sides = [old // n for n, old in zip(grid, full, strict=True)]
        raise ValueError(
            f"image_size: images must be cut into whole patches, got "
            f"{size[0]}x{size[1]} px where {full[0]}x{full[1]} px make "
            f"{grid[0]}x{grid[1]} patches. Use multiples of {sides[0]}x{sides[1]}."
        )
    return [int(n) for n in wanted]


def fit_of(old, new, model, resized, kernel):
    """How a weight becomes that of the resized model.

    Args:
        old, new: variables of the two. model, resized: the two.
        kernel: a key of `keras_vit.weights.resample.KERNELS`.

    Returns:
        None for a weight that stays as it is; else a function of its value and of the
        module that computes with it, `numpy` or `keras.ops`.

    Raises:
        UnsupportedLayer: for a weight that belongs to one size.
    """
    shapes = tuple(old.shape), tuple(new.shape)
    if shapes[0] == shapes[1]:
        return None
    name = old.path.rpartition("/")[2]
    grids = [_grid(model), _grid(resized)]
    if None in grids or name not in POSITIONS:
        raise UnsupportedLayer(
            "image_size: only learned positions may depend on the image size; the "
            f"weights of layer {old.path.partition('/')[0]!r} belong to one, got "
            f"{old.path} of {shapes[0]} and {shapes[1]}. Use a model with "
            "position='learned', 'learned2d' or 'sincos2d'."
        )
    sides = zip(*grids, strict=True)
    down, across = (matrix(*both, *KERNELS[kernel]) for both in sides)
    if name == "rows":
        return lambda value, ops: _along(ops, down, value, "ph,hwd->pwd")
    if name == "columns":
        return lambda value, ops: _along(ops, across, value, "qw,hwd->hqd")

    def fit(table, ops):
        prefix = table.shape[1] - grids[0][0] * grids[0][1]
        rows = ops.reshape(table[0, prefix:], (*grids[0], -1))
        rows = _along(ops, down, rows, "ph,hwd->pwd")
        rows = _along(ops, across, rows, "qw,pwd->pqd")
        rows = ops.reshape(rows, (1, -1, table.shape[-1]))
        return ops.concatenate([table[:, :prefix], rows], axis=1)

    return fit


def _along(ops, weights, value, pattern):
    """Resample one axis: in float64 in numpy, else in the type of the value."""
    if ops is not np:
        kind = keras.backend.standardize_dtype(value.dtype)
        weights = ops.convert_to_tensor(weights, kind)
    return ops.einsum(pattern, weights, value)


def _grid(model):
    """(h, w) of the patches of a model, or None where it has none."""
    found = [layer.grid for layer in model.layers if isinstance(layer, PatchEncoder)]
    return found[0] if len(found) == 1 else None
