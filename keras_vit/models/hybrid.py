"""Hybrid: a ResNet, or any other network, in front of a Vision Transformer.

Patches are cut from its features.

Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1 "Hybrid Architecture";
wiring and constants of vit_jax's models_resnet.py.
"""

import keras
from keras import ops

from keras_vit.layers.conv import BottleneckUnit, GroupNorm, StdConv

WIDTH = 64  # channels of the root


@keras.saving.register_keras_serializable("keras_vit")
class RootPool(keras.layers.Layer):
    """Max pooling of 3x3 windows with stride 2, padded as TensorFlow does.

    Call:
        x: (B, H, W, C). Returns: (B, ceil(H/2), ceil(W/2), C).
    """

    def call(self, x):
        return ops.max_pool(x, 3, 2, padding="same", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, -(-height // 2), -(-width // 2), channels)


def shrink(stem):
    """Stride of the ResNet in px, per side.

    >>> shrink(()), shrink((3, 4, 9))
    (4, 16)
    """
    return 4 * 2 ** max(len(stem) - 1, 0)


def is_model(stem):
    """Whether a stem is a custom model, not units per stage."""
    return isinstance(stem, keras.Model)


def feature_size(image_size, stem, channels=3):
    """(H, W) of the feature map; every halving of a ResNet rounds up.

    Args:
        image_size: (H, W) px. stem: units per stage, or a Keras model.
        channels: of the images.

    Raises:
        ValueError: for a model that does not make a feature map of such images.
    """
    if not is_model(stem):
        return tuple(-(-side // shrink(stem)) for side in image_size)
    image = (*image_size, channels)
    input_shapes = [
        tuple(tensor.shape) for tensor in getattr(stem, "inputs", None) or ()
    ]
    output_shapes = [
        tuple(tensor.shape) for tensor in getattr(stem, "outputs", None) or ()
    ]
    fits = len(input_shapes) == 1 and all(
        side in (None, wanted)
        for side, wanted in zip(input_shapes[0][1:], image, strict=False)
    )
    if not fits or [len(shape) for shape in (*input_shapes, *output_shapes)] != [4, 4]:
        raise ValueError(
            f"stem: must be a functional or Sequential model that makes one feature "
            f"map (B, h, w, F) of one image (B, {', '.join(map(str, image))}), got "
            f"{stem.name!r} with inputs {input_shapes} and outputs {output_shapes}. "
            "Build it with include_top=False and this image size."
        )
    return tuple(stem.compute_output_shape((None, *image))[1:3])


def embed(images, stem, dtype=None):
    """Image -> feature map.

    Args:
        images: (B, H, W, C) symbolic tensor.
        stem: units per stage, such as (3, 4, 9); () for the root alone; or a Keras
            model, which becomes a layer of the new one and keeps its weights.
        dtype: policy of the layers; a model has its own.

    Returns:
        (B, h, w, F): F is 64 for the root alone, 256 * 2^(stages - 1) for units.
    """
    if is_model(stem):
        return stem(images)
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
