"""A ResNet in front of a Vision Transformer: patches are cut from its features.

Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1 "Hybrid Architecture";
wiring and constants of vit_jax's models_resnet.py.
"""

import keras
from keras import ops

from keras_vit.layers.conv import BottleneckUnit, GroupNorm, StdConv

WIDTH = 64  # channels of the root


@keras.saving.register_keras_serializable("keras_vit")
class RootPool(keras.layers.Layer):
    """Halve the resolution by the maximum of 3x3 windows, padded as TensorFlow does.

    Call:
        x: (B, H, W, C). Returns: (B, ceil(H/2), ceil(W/2), C).
    """

    def call(self, x):
        return ops.max_pool(x, 3, 2, padding="same", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, -(-height // 2), -(-width // 2), channels)


def shrink(stem):
    """How many px of the image stand behind one feature, per side.

    >>> shrink(()), shrink((3, 4, 9))
    (4, 16)
    """
    return 4 * 2 ** max(len(stem) - 1, 0)


def feature_size(image_size, stem):
    """(H, W) of the feature map; every halving rounds up."""
    return tuple(-(-side // shrink(stem)) for side in image_size)


def embed(images, stem, dtype=None):
    """Image -> feature map.

    Args:
        images: (B, H, W, C) symbolic tensor.
        stem: units per stage, such as (3, 4, 9); () for the root alone.
        dtype: policy of the layers.

    Returns:
        (B, h, w, F): F is 64 for the root alone, 256 * 2^(stages - 1) else.
    """
    x = StdConv(WIDTH, 7, 2, dtype=dtype, name="stem_root")(images)
    x = GroupNorm(dtype=dtype, name="stem_norm")(x)
    x = keras.layers.Activation("relu", dtype=dtype, name="stem_relu")(x)
    x = RootPool(dtype=dtype, name="stem_pool")(x)
    for stage, units in enumerate(stem):
        for unit in range(units):
            x = BottleneckUnit(
                WIDTH * 2**stage,
                strides=2 if stage and not unit else 1,
                dtype=dtype,
                name=f"stage{stage + 1}_unit{unit + 1}",
            )(x)
    return x
