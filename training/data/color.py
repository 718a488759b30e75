"""Colour augmentations, one function each, on (h, w, 3) uint8 images.

Written for speed in tf.data: whole-array arithmetic and bit operations. TensorFlow's
table lookup and selection (`tf.gather`, `tf.where`) read one value at a time and took
three to ten times as long on a processor. Numbers per channel and sums over rows and
columns at once are slow too: `autocontrast` took 1.2 ms with them, `contrast` 0.2. Rows
are therefore lines of (W * 3,).

Source of the set: Cubuk et al. 2019, arXiv:1909.13719; the formulas of the TPU
EfficientNet code, most of which are those of Pillow's ImageOps and ImageEnhance.
"""

import numpy as np
import tensorflow as tf

LUMA = ((0.2989,), (0.587,), (0.114,))  # share of red, green and blue in grey
LEVELS = 256


def whole(values):
    """float32 to uint8: clipped, fractions dropped."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


def autocontrast(image):
    """Stretch each channel so that it reaches from 0 to 255."""
    values = _lines(tf.cast(image, tf.float32))
    low = _by_channel(tf.reduce_min, values)
    high = _by_channel(tf.reduce_max, values)
    flat = high <= low
    low, span = tf.where(flat, 0.0, low), tf.where(flat, 255.0, high - low)
    low, span = (tf.tile(numbers, image.shape[1:2]) for numbers in (low, span))
    return tf.reshape(whole((values - low) * 255.0 / span), image.shape)


def _lines(image):
    """One line per row: (h, w, 3) to (h, w * 3)."""
    height, width, channels = image.shape
    return tf.reshape(image, (height, width * channels))


def _by_channel(reduce, lines):
    """Reduce (h, w * 3) to (3,)."""
    return reduce(tf.reshape(reduce(lines, axis=0), (-1, 3)), axis=0)


def equalize(image):
    """Spread the levels of each channel so that all are used alike."""
    start = np.tile(np.arange(3, dtype="int32") * LEVELS, image.shape[1])
    index = _lines(tf.cast(image, tf.int32)) + start
    counts = tf.raw_ops.Bincount(
        arr=tf.reshape(index, (-1,)), size=3 * LEVELS, weights=tf.zeros((0,), tf.int32)
    )
    counts = tf.reshape(counts, (3, LEVELS))
    used = tf.where(counts > 0, tf.range(LEVELS), 0)
    top = tf.gather(counts, tf.reduce_max(used, axis=1), axis=1)
    top = tf.linalg.diag_part(top)  # images at the highest level, per channel
    step = (tf.reduce_sum(counts, axis=1) - top) // 255
    before = tf.cumsum(counts, axis=1, exclusive=True)
    table = (before + step[:, None] // 2) // tf.maximum(step, 1)[:, None]
    table = tf.where(step[:, None] == 0, tf.range(LEVELS), tf.minimum(table, 255))
    table = tf.reshape(tf.cast(table, tf.uint8), (-1,))
    return tf.reshape(tf.gather(table, index), image.shape)


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
    """The grey image in three channels, whole levels, (h, w, 3) float32."""
    pixels = tf.reshape(tf.cast(image, tf.float32), (-1, 3))
    grey = tf.linalg.matmul(pixels, np.repeat(LUMA, 3, axis=1).astype("float32"))
    return tf.reshape(tf.floor(grey + 0.5), image.shape)


def grayscale(image):
    """The grey image."""
    return tf.cast(luma(image), tf.uint8)


def sharpness(image, factor):
    """Blend with a smoothed image; the outermost pixels stay."""
    values = _lines(tf.cast(image, tf.float32))
    inner = values[1:-1]
    rows = values[:-2] + inner + values[2:]
    flat, side = tf.reshape(rows, (-1,)), tf.zeros((3,))
    around = flat[:-6] + flat[3:-3] + flat[6:]  # wrong at the ends of lines
    around = tf.reshape(tf.concat([side, around, side], 0), rows.shape)
    smooth = tf.floor((around + 4.0 * inner) * (1.0 / 13.0) + 1e-4)
    stay = np.ones(rows.shape[1], "float32")
    stay[:3] = stay[-3:] = 0.0
    sharp = whole(inner + (smooth - inner) * ((1.0 - factor) * stay))
    sharp = tf.reshape(sharp, (-1, *image.shape[1:]))
    return tf.concat([image[:1], sharp, image[-1:]], axis=0)


def gaussian_blur(image, sigma, reach=6):
    """Smooth with a bell curve of so many px; borders are mirrored.

    Args:
        sigma: above 0, at most reach / 3. reach: px that the curve is cut off at.
    """
    offsets = tf.range(-reach, reach + 1, dtype=tf.float32)
    bell = tf.exp(-0.5 * (offsets / sigma) ** 2)
    bell = tf.unstack(bell / tf.reduce_sum(bell))
    height, width, channels = image.shape
    border = ((reach, reach), (reach, reach), (0, 0))
    lines = _lines(tf.pad(tf.cast(image, tf.float32), border, "SYMMETRIC"))
    flat = tf.reshape(
        tf.add_n([tap * lines[k : k + height] for k, tap in enumerate(bell)]), (-1,)
    )
    over = 2 * reach * channels  # the last line has no more to its right
    flat = tf.concat([flat, tf.zeros((over,))], axis=0)
    count = flat.shape[0] - over
    taps = [
        tap * flat[k * channels : k * channels + count] for k, tap in enumerate(bell)
    ]
    smooth = tf.reshape(tf.add_n(taps), (height, -1, channels))[:, :width]
    return whole(smooth + 0.5)
