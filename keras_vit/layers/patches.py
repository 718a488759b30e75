"""Patch extraction."""

from typing import Any

import keras
from keras import ops

from keras_vit.choices import whole
from keras_vit.layers.legacy import refuse_h5
from keras_vit.types import Config, Shape, Size, Tensor


def pair(value, name):
    """Read an int or a (rows, columns) pair of positive ints, in pixels.

    Raises:
        TypeError: for anything else.
        ValueError: for a side below 1.

    >>> pair(16, "patch_size")
    (16, 16)
    """
    sides = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    sides = tuple(map(whole, sides))
    if len(sides) != 2 or any(type(side) is not int for side in sides):
        hint = f" Use {name}={sides[:2]}." if len(sides) == 3 else ""
        raise TypeError(
            f"{name}: must be an int or a pair of ints, got {value!r}.{hint}"
        )
    if min(sides) < 1:
        raise ValueError(f"{name}: must be 1 px or more, got {value!r}.")
    return sides


def patch_grid(image_size, patch_size):
    """Number of rows and columns of patches in an image.

    Args:
        image_size: (H, W) px. patch_size: (rows, columns) px.

    Returns:
        (h, w), patches.

    Raises:
        ValueError: when the image is not a whole number of patches.

    >>> patch_grid((224, 192), (16, 16))
    (14, 12)
    """
    rests = [side % patch for side, patch in zip(image_size, patch_size, strict=True)]
    if any(rests):
        bad = 0 if rests[0] else 1
        side, patch = image_size[bad], patch_size[bad]
        count, rest = divmod(side, patch)
        fits = [max(s // p, 1) * p for s, p in zip(image_size, patch_size, strict=True)]
        best = fits[0] if fits[0] == fits[1] else tuple(fits)
        shown = (
            patch if patch_size[0] == patch_size[1] else "x".join(map(str, patch_size))
        )
        raise ValueError(
            f"image {image_size[0]}x{image_size[1]} px cannot be cut into {shown} px "
            f"patches ({side} = {count}*{patch} + {rest}). "
            f"Use image_size={best}, or resize first."
        )
    return image_size[0] // patch_size[0], image_size[1] // patch_size[1]


@keras.saving.register_keras_serializable("keras_vit")
class Patches(keras.layers.Layer):
    """Cut images into patches, one token each.

    Two reshapes and one transpose, none above rank 4 and none that depends on
    the batch size, so that every converter accepts it.

    Args:
        patch_size: side of a patch in px, or (rows, columns).

    Call:
        images: (B, H, W, C), any dtype.

    Returns:
        (B, N, P*P*C), patches in row-major order, each flattened as
        (row, column, channel). dtype of the layer's policy.

    Raises:
        ValueError: on build, when H or W is unknown or not a whole number of
            patches.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1.
    """

    def __init__(self, patch_size: Size, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = pair(patch_size, "patch_size")

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"{self.name}: needs images of a fixed size (B, H, W, C), got shape "
                f"{tuple(input_shape)}. Give the model a fixed image_size."
            )
        patch_grid(input_shape[1:3], self.patch_size)

    def call(self, images: Tensor) -> Tensor:
        height, width, channels = images.shape[1:]
        rows, columns = self.patch_size
        h, w = height // rows, width // columns
        x = ops.reshape(images, (-1, rows, w, columns * channels))  # (B*h, P, w, P*C)
        x = ops.transpose(x, (0, 2, 1, 3))  # (B*h, w, P, P*C)
        return ops.reshape(x, (-1, h * w, rows * columns * channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        h, w = patch_grid((height, width), self.patch_size)
        return (batch, h * w, self.patch_size[0] * self.patch_size[1] * channels)

    def get_config(self) -> Config:
        refuse_h5()
        return {**super().get_config(), "patch_size": list(self.patch_size)}
