"""Geometric augmentations, one function each, on (h, w, 3) uint8 images.

A matrix (a, b, c, d, e, f) tells where the pixel at column x and row y of the result
comes from: column a x + b y + c, row d x + e y + f.
"""

import numpy as np
import tensorflow as tf


def warp(image, matrix, fill):
    """Take every pixel from its nearest place of origin.

    One gather of whole pixels: TensorFlow's ImageProjectiveTransform took three times
    as long for the same pixels.

    Args:
        image: (h, w, 3) uint8. matrix: six scalars, see above.
        fill: (3,) levels of what comes from outside.

    Returns:
        (h, w, 3) uint8.
    """
    height, width = image.shape[:2]
    a, b, c, d, e, f = (tf.cast(number, tf.float32) for number in matrix)
    x = tf.range(width, dtype=tf.float32)[None]
    y = tf.range(height, dtype=tf.float32)[:, None]
    # The picture lies in a frame of one pixel, where all that is outside ends up.
    column = tf.clip_by_value(tf.floor(a * x + (b * y + (c + 1.5))), 0.0, width + 1.0)
    row = tf.clip_by_value(tf.floor(d * x + (e * y + (f + 1.5))), 0.0, height + 1.0)
    index = tf.cast(row * (width + 2.0) + column, tf.int32)
    return tf.gather(tf.reshape(_framed(image, fill), (-1, 3)), index)


def _framed(image, fill):
    fill = tf.cast(fill, tf.uint8)
    height, width = image.shape[:2]
    side = tf.broadcast_to(fill, (height, 1, 3))
    edge = tf.broadcast_to(fill, (1, width + 2, 3))
    return tf.concat([edge, tf.concat([side, image, side], 1), edge], 0)


def move(image, down, right, fill):
    """Take every pixel from so many whole px further down and to the right.

    What `warp` does for the matrix (1, 0, right, 0, 1, down), without a gather.

    Args:
        image: (h, w, 3) uint8. down, right: scalars, rounded.
        fill: (3,) levels of what comes from outside.
    """
    sides = np.array(image.shape[:2], "int32")
    offset = tf.cast(tf.floor(tf.stack([down, right]) + 0.5), tf.int32)
    offset = tf.clip_by_value(offset, -sides, sides)
    size = tf.concat([sides - tf.abs(offset), [3]], axis=0)
    begin = tf.concat([tf.maximum(offset, 0), [0]], axis=0)
    empty = np.broadcast_to(np.array(fill, "uint8"), image.shape)
    return paste(empty, tf.slice(image, begin, size), tf.maximum(-offset, 0))


def warp_smooth(image, matrix, fill):
    """As `warp`, but between pixels (bilinear)."""
    fill = tf.cast(fill, tf.float32)
    numbers = [tf.cast(number, tf.float32) for number in (*matrix, 0.0, 0.0)]
    # The frame must be filled per channel, so the fill is taken away before.
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=(tf.cast(image, tf.float32) - fill)[None],
        transforms=tf.stack(numbers)[None],
        output_shape=image.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(moved[0] + (fill + 0.5), tf.uint8)


def turn(image, degrees):
    """Matrix of a turn about the centre, counter-clockwise."""
    height, width = image.shape[:2]
    angle = tf.cast(degrees, tf.float32) * (3.141592653589793 / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    return (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def cutout(image, half, seed, fill):
    """Paint over a square about a random pixel, as far as it lies in the image.

    Args:
        half: half of its side, px. seed: (2,) int64. fill: (3,) levels.
    """
    height, width = image.shape[:2]
    middle = tf.random.stateless_uniform((2,), seed)
    middle = tf.cast(middle * [height, width], tf.int32)
    begin = tf.maximum(middle - half, 0)
    size = tf.minimum(middle + half, [height, width]) - begin
    whole = np.broadcast_to(np.array(fill, "uint8"), (2 * half, 2 * half, 3))
    patch = tf.slice(whole, (0, 0, 0), tf.concat([size, [3]], 0))
    return paste(image, patch, begin)


def paste(image, patch, begin):
    """Put a patch (p, q, 3) into an image, its corner at `begin` = (row, column)."""
    begin = tf.concat([begin, [0]], axis=0)
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=image,
        begin=begin,
        end=begin + tf.shape(patch),
        strides=(1, 1, 1),
        value=patch,
    )


def erase(image, seed, probability):
    """Replace a random box by noise: random erasing, after the range of the model.

    Args:
        image: (h, w, 3) float32, normalised. seed: (2,) int64. probability: 0..1.

    Source:
        Zhong et al. 2017, arXiv:1708.04896, with timm's numbers: a share of 0.02 to
        1/3 of the image, aspect ratio 0.3 to 1 / 0.3, ten tries, N(0, 1) per value.
    """
    height, width = image.shape[:2]
    coin, place, shapes, noise = tf.unstack(tf.random.split(seed, 4))

    def erased():
        draws = tf.random.stateless_uniform((2, 10), shapes)
        area = (0.02 + draws[0] * (1 / 3 - 0.02)) * (height * width)
        aspect = tf.exp((2.0 * draws[1] - 1.0) * tf.math.log(1 / 0.3))
        sides = tf.stack([tf.sqrt(area * aspect), tf.sqrt(area / aspect)], 1)
        sides = tf.cast(tf.round(sides), tf.int32)
        fits = tf.reduce_all(sides < [height, width], axis=1)
        size = tf.where(tf.reduce_any(fits), sides[tf.argmax(fits)], 0)
        room = tf.cast([height, width] - size + 1, tf.float32)
        begin = tf.cast(tf.random.stateless_uniform((2,), place) * room, tf.int32)
        shape = tf.concat([size, [3]], 0)
        return paste(image, tf.random.stateless_normal(shape, noise), begin)

    drawn = tf.random.stateless_uniform((), coin)
    return tf.cond(drawn < probability, erased, lambda: image)
