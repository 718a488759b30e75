"""Changes of colour, one function each, on (h, w, 3) uint8 images.

Written for speed in tf.data: whole-array arithmetic and bit operations. TensorFlow's
table lookup and selection (`tf.gather`, `tf.where`) read one value at a time and took
three to ten times as long on a processor.

Source of the set: Cubuk et al. 2019, arXiv:1909.13719; the formulas of the TPU
EfficientNet code, most of which are those of Pillow's ImageOps and ImageEnhance.
"""

import tensorflow as tf

LUMA = ((0.2989,), (0.587,), (0.114,))  # share of red, green and blue in grey
LEVELS = 256


def whole(values):
    """float32 to uint8: clipped, fractions dropped."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


def autocontrast(image):
    """Stretch each channel so that it reaches from 0 to 255."""
    low = tf.cast(tf.reduce_min(image, (0, 1)), tf.float32)
    high = tf.cast(tf.reduce_max(image, (0, 1)), tf.float32)
    flat = high <= low
    low, span = tf.where(flat, 0.0, low), tf.where(flat, 255.0, high - low)
    return whole((tf.cast(image, tf.float32) - low) * 255.0 / span)


def equalize(image):
    """Spread the levels of each channel so that all are used alike."""
    start = tf.constant([0, LEVELS, 2 * LEVELS])
    index = tf.cast(image, tf.int32) + start
    size = 3 * LEVELS
    counts = tf.math.bincount(tf.reshape(index, (-1,)), minlength=size, maxlength=size)
    counts = tf.reshape(counts, (3, LEVELS))
    top = tf.gather(counts, tf.cast(tf.reduce_max(image, (0, 1)), tf.int32), axis=1)
    top = tf.linalg.diag_part(top)  # images at the highest level, per channel
    step = (tf.reduce_sum(counts, axis=1) - top) // 255
    before = tf.cumsum(counts, axis=1, exclusive=True)
    table = (before + step[:, None] // 2) // tf.maximum(step, 1)[:, None]
    table = tf.where(step[:, None] == 0, tf.range(LEVELS), tf.minimum(table, 255))
    return tf.gather(tf.reshape(tf.cast(table, tf.uint8), (-1,)), index)


def invert(image):
    """Light becomes dark."""
    return tf.bitwise.invert(image)


def posterize(image, bits):
    """Keep the highest bits, 0 to 8 of them, of each value."""
    mask = LEVELS - tf.bitwise.left_shift(1, 8 - bits)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image, threshold):
    """Invert what is not below the threshold, 0 to 256."""
    values = tf.cast(image, tf.float32)
    above = tf.clip_by_value(values - (tf.cast(threshold, tf.float32) - 1.0), 0.0, 1.0)
    return tf.cast(values + above * (255.0 - 2.0 * values), tf.uint8)


def solarize_add(image, amount, threshold=128):
    """Lighten what is below the threshold by so many levels."""
    values = tf.cast(image, tf.float32)
    below = tf.clip_by_value(threshold - values, 0.0, 1.0)
    return whole(values + below * tf.cast(amount, tf.float32))


def blend(degenerate, image, factor):
    """Between a worse image (factor 0) and the image (1), and beyond it.

    Args:
        degenerate: float32, what factor 0 gives. image: uint8. factor: scalar.
    """
    values = tf.cast(image, tf.float32)
    return whole(degenerate + factor * (values - degenerate))


def brightness(image, factor):
    """Blend with black."""
    return blend(0.0, image, factor)


def contrast(image, factor, grey=None):
    """Blend with one grey level; None is the mean of the image, rounded."""
    if grey is None:
        grey = tf.floor(tf.reduce_mean(luma(image)) + 0.5)
    return blend(tf.cast(grey, tf.float32), image, factor)


def color(image, factor):
    """Blend with the grey image."""
    return blend(luma(image), image, factor)


def luma(image):
    """The grey image, whole levels, (h, w, 1) float32."""
    grey = tf.linalg.matmul(tf.reshape(tf.cast(image, tf.float32), (-1, 3)), LUMA)
    return tf.reshape(tf.floor(grey + 0.5), (*image.shape[:2], 1))


def grayscale(image):
    """The grey image in three channels."""
    return tf.repeat(tf.cast(luma(image), tf.uint8), 3, axis=2)


def sharpness(image, factor):
    """Blend with a smoothed image; the outermost pixels stay."""
    values = tf.cast(image, tf.float32)
    rows = values[:-2] + values[1:-1] + values[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    inner = values[1:-1, 1:-1]
    smooth = tf.floor((around + 4.0 * inner) * (1.0 / 13.0) + 1e-4)
    change = tf.pad(smooth - inner, ((1, 1), (1, 1), (0, 0)))
    return whole(values + (1.0 - factor) * change)


def gaussian_blur(image, sigma, reach=6):
    """Smooth with a bell curve of so many px; borders are mirrored.

    Args:
        sigma: above 0, at most reach / 3. reach: px that the curve is cut off at.
    """
    offsets = tf.range(-reach, reach + 1, dtype=tf.float32)
    bell = tf.exp(-0.5 * (offsets / sigma) ** 2)
    bell = tf.tile((bell / tf.reduce_sum(bell))[:, None, None, None], (1, 1, 3, 1))
    border = ((reach, reach), (reach, reach), (0, 0))
    images = tf.pad(tf.cast(image, tf.float32), border, "SYMMETRIC")[None]
    for kernel in (bell, tf.transpose(bell, (1, 0, 2, 3))):
        images = tf.nn.depthwise_conv2d(images, kernel, (1, 1, 1, 1), "VALID")
    return whole(images[0] + 0.5)
