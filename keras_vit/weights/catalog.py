"""Published checkpoints by name. The rows stand in the other files `catalog_*`.

A name is the function that builds the model, what it was trained on, and the
image size: "ViT_B16.augreg_in21k_ft_in1k_224".
"""

import fnmatch
import functools

from keras_vit.choices import did_you_mean
from keras_vit.weights import catalog_bit, catalog_google, catalog_torch

# How a code base prepares images; the size is that of the row.
PREPARATIONS = {
    # vit_jax: tf.image.resize, straight to the size
    "vit_jax": {"antialias": False},
    # big_vision: short side by 'area' to 256 (of 224), back to uint8, centre crop
    "big_vision": {
        "resize": "short_side",
        "crop": 0.875,
        "interpolation": "area",
        "antialias": False,
        "rounding": "truncate",
        "geometry": "tensorflow",
    },
    # transformers' ViTImageProcessor: PIL bilinear, straight to the size
    "hugging_face": {"rounding": "each_pass"},
    # timm with a crop of 0.95: PIL bicubic, centre crop
    "timm_95": {
        "resize": "short_side",
        "crop": 0.95,
        "interpolation": "bicubic",
        "rounding": "each_pass",
    },
    # timm's configurations of Big Transfer: PIL, centre crop
    "timm_bilinear": {
        "resize": "short_side",
        "interpolation": "bilinear",
        "rounding": "each_pass",
    },
    "timm_bilinear_margin": {
        "resize": "short_side",
        "crop": 0.875,
        "interpolation": "bilinear",
        "rounding": "each_pass",
    },
    "timm_bicubic": {
        "resize": "short_side",
        "interpolation": "bicubic",
        "rounding": "each_pass",
    },
    "timm_bicubic_margin": {
        "resize": "short_side",
        "crop": 0.875,
        "interpolation": "bicubic",
        "rounding": "each_pass",
    },
    # DeiT and MAE up to 224 px: PIL bicubic to 8/7 of the size, centre crop
    "facebook": {
        "mode": "imagenet",
        "resize": "short_side",
        "crop": 0.875,
        "interpolation": "bicubic",
        "rounding": "each_pass",
    },
    # DeiT-III, and the others above 224 px: no margin
    "facebook_full": {
        "mode": "imagenet",
        "resize": "short_side",
        "interpolation": "bicubic",
        "rounding": "each_pass",
    },
}


# Fields of `Preprocessing` where nothing else is said.
DEFAULTS = {
    "mode": "google", "resize": "squash", "crop": 1.0, "interpolation": "bilinear",
    "antialias": True, "rounding": "none", "geometry": "torchvision",
}  # fmt: skip


@functools.cache
def rows():
    """Every row by name, in the order of the tables."""
    found = [*catalog_google.rows(), *catalog_bit.rows(), *catalog_torch.rows()]
    return {row.name: row for row in found}


def list_checkpoints(pattern: str = "*") -> list[str]:
    """Names of published checkpoints that match a shell pattern.

    Args:
        pattern: like "*augreg*" or "ViT_B16.*"; case does not matter.

    Returns:
        Names that `from_checkpoint` takes.

    >>> list_checkpoints("ViT_B8.*ft_in1k*")
    ['ViT_B8.orig_in21k_ft_in1k_384', 'ViT_B8.augreg_in21k_ft_in1k_224']
    """
    pattern = pattern.lower()
    return [name for name in rows() if fnmatch.fnmatchcase(name.lower(), pattern)]


def find(name):
    """Find the row of a name.

    Raises:
        ValueError: for a name that is not in the tables, with the nearest one.
    """
    if name in rows():
        return rows()[name]
    raise ValueError(
        f"weights: must be an existing file or folder, or a name of "
        f"keras_vit.list_checkpoints(), got {str(name)!r}."
        f"{did_you_mean(name, rows(), cutoff=0.3)}"
    )


def find_for(function, tag, image_size=None):
    """Find the row of a model and its training data: "augreg_in21k_ft_in1k".

    Args:
        function: name of the model's function, such as "ViT_B16".
        tag: the part after the point, with or without the image size; or a
            whole name.
        image_size: px wanted; the nearest published one is taken.

    Raises:
        ValueError: when this model has no such checkpoint, listing those it has.
    """
    if tag in rows():
        return rows()[tag]
    rows_of_variant = [row for row in rows().values() if row.variant == function]
    for row in rows_of_variant:
        if row.name == f"{function}.{tag}":
            return row
    fitting = [row for row in rows_of_variant if row.tag == tag]
    if fitting:
        wanted = image_size or 224
        return min(fitting, key=lambda row: abs(row.image_size - wanted))
    known = ", ".join(dict.fromkeys(repr(row.tag) for row in rows_of_variant)) or "none"
    raise ValueError(
        f"weights: must be an existing file, or one of {function}'s checkpoints "
        f"({known}), got {str(tag)!r}. See keras_vit.list_checkpoints()."
    )


def by_file(name):
    """Find the row of a file name, if it is unique."""
    fitting = [row for row in rows().values() if row.url.split("/")[-1] == name]
    return fitting[0] if len({row.url for row in fitting}) == 1 else None


def preparation(row):
    """Build the `Preprocessing` of a row."""
    from keras_vit.preprocess import Preprocessing  # `keras-vit list` needs no Keras

    size = (row.image_size, row.image_size)
    return Preprocessing(image_size=size, **PREPARATIONS[row.preparation])


def prepared(row, family):
    """Preprocessing of a row as plain values; needs no Keras.

    Args:
        row: of the tables, or None. family: as `variants` calls it.
    """
    kind = "vit_jax" if family == "BiT" else None
    kind, side = (kind, 224) if row is None else (row.preparation, row.image_size)
    return {"image_size": [side, side], **DEFAULTS, **PREPARATIONS.get(kind, {})}
