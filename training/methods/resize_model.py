"""Trained models for images of another size than they were saved for."""

import keras
import numpy as np

from keras_vit.layers import PatchEncoder
from keras_vit.layers.interpolate import matrix
from keras_vit.models.image_gpt_features import PixelFeatures
from keras_vit.weights import resample

POSITIONS = ("embedding", "rows", "columns")  # weights that depend on the grid
KERNEL = "bicubic_antialias"  # a saved model does not say whose it was


def at_size(model, image_size):
    """A model for images of another size; its learned positions are resampled.

    Args:
        model: functional. image_size: (H, W) px.

    Returns:
        The model itself where it takes that size already.

    Raises:
        ValueError: for a size that does not make whole patches, and for a model that
            depends on its size in another way.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.2; bicubic as timm.
    """
    full = tuple(model.input_shape[1:3])
    if None in full or full == tuple(image_size):
        return model
    try:
        if any(isinstance(layer, PixelFeatures) for layer in model.layers):
            raise ValueError("an image GPT reads pixels of one size.")
        config = config_at(model.get_config(), image_size, full)
        resized = type(model).from_config(config)
        pairs = list(zip(model.variables, resized.variables, strict=True))
        grids = _grids(model, resized)
        values = [_fitted(old, new, grids) for old, new in pairs]
    except ValueError as err:
        raise ValueError(
            f"image_size: the recipe wants {image_size[0]}x{image_size[1]} px, got "
            f"{model.name!r} for {full[0]}x{full[1]} px, which cannot be rebuilt "
            f"({err}) Pass image_size=None to train at the model's own size."
        ) from err
    for (_, new), value in zip(pairs, values, strict=True):
        new.assign(value)
    if getattr(model, "preprocessing", None) is not None:
        resized.preprocessing = model.preprocessing.resized(image_size)
    return resized


def config_at(config, size, full):
    """A functional model's configuration for images of another size.

    Args:
        config: of the model. size, full: (H, W) px, wanted and its own.

    Raises:
        ValueError: for a size that does not make whole patches, and for a model that
            is not functional.
    """
    if "layers" not in config:
        raise ValueError("it is not made of layers.")
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


def _grid_at(grid, size, full):
    """Patches a side for another size."""
    wanted = [n * new / old for n, new, old in zip(grid, size, full, strict=True)]
    if any(n != int(n) or n < 1 for n in wanted):
        sides = [old // n for n, old in zip(grid, full, strict=True)]
        raise ValueError(
            f"images must be cut into whole patches, got {size[0]}x{size[1]} px where "
            f"{full[0]}x{full[1]} px make {grid[0]}x{grid[1]} patches. Use multiples "
            f"of {sides[0]}x{sides[1]}."
        )
    return [int(n) for n in wanted]


def _grids(*both):
    """The patches a side of models, or None where one has none."""
    found = [x.grid for m in both for x in m.layers if isinstance(x, PatchEncoder)]
    return found if len(found) == len(both) else None


def _fitted(old, new, grids):
    """The value of a weight for the model of another size."""
    value = keras.ops.convert_to_numpy(old.value)
    if value.shape == tuple(new.shape):
        return value
    name = old.path.rpartition("/")[2]
    if grids is None or name not in POSITIONS:
        raise ValueError(
            f"only learned positions may depend on the image size, got {old.path} of "
            f"{value.shape} and {tuple(new.shape)}."
        )
    if name == "embedding":
        prefix = value.shape[1] - grids[0][0] * grids[0][1]
        return resample.positions(value, *grids, prefix, KERNEL)
    axis = 0 if name == "rows" else 1
    weights = matrix(value.shape[axis], new.shape[axis], "bicubic", antialias=True)
    return np.moveaxis(np.tensordot(weights, value, (1, axis)), 0, axis)
