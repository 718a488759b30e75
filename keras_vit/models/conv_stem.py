"""Convolutional stem: a few 3x3 convolutions in place of the patch embedding.

Xiao et al. 2021, "Early Convolutions Help Transformers See Better", arXiv:2106.14881:
with such a stem a transformer learns from fewer images and steps, and cares less about
learning rate and weight decay. A ResNet in front is `hybrid`.
"""

import keras


def strides(channels):
    """Stride of each convolution: 2 where the number of channels changes, else 1.

    The first changes it, from the colours of the image. This is the rule behind every
    stem of the paper.

    >>> strides((64, 128, 128, 256, 256, 512))
    (2, 2, 1, 2, 1, 2)
    """
    before = (None, *channels)
    return tuple(1 if a == b else 2 for a, b in zip(before, channels, strict=False))


def shrink(channels):
    """Stride of the stem in px, per side.

    >>> shrink((48, 96, 192, 384))
    16
    """
    return 2 ** strides(channels).count(2)


def feature_size(image_size, channels):
    """(H, W) of the feature map; every halving rounds up."""
    step = shrink(channels)
    return tuple(-(-side // step) for side in image_size)


def embed(images, channels, dtype=None):
    """Image -> feature map.

    Each convolution has no bias and is followed by batch normalisation, which
    exporters fold into it, and ReLU. Its statistics are those of the images that one
    device sees at once. Padding is SAME as in TensorFlow; the paper's code pads 1 px on
    each side.

    Args:
        images: (B, H, W, C) symbolic tensor.
        channels: of each convolution, see `strides`.
        dtype: policy of the layers.

    Returns:
        (B, h, w, F): F is the last of `channels`.

    Source:
        arXiv:2106.14881, section 4 and table 2. The 1x1 convolution that ends their
        stem is our `PatchEncoder` on patches of one feature.
    """
    x, steps = images, strides(channels)
    for index, (width, step) in enumerate(zip(channels, steps, strict=True)):
        x = keras.layers.Conv2D(
            width,
            3,
            step,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            kernel_initializer="he_normal",
            dtype=dtype,
            name=f"stem_conv{index}",
        )(x)
        x = keras.layers.BatchNormalization(
            axis=-1, momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"stem_norm{index}"
        )(x)
        x = keras.layers.Activation("relu", dtype=dtype, name=f"stem_relu{index}")(x)
    return x
