"""One function per step between a file and a training image, in TensorFlow ops.

Random steps take `seed`, an int64 pair, and are pure functions of it: the same
example at the same step is drawn the same way on any number of devices. Images
stay on a scale of 0 to 255 until `to_range`.
"""

import math

import tensorflow as tf

from keras_vit.preprocess import RANGES

CHANNELS = 3


def decode(image):
    """Give every picture three channels, whatever its format.

    Args:
        image: scalar string (JPEG, PNG, BMP or GIF, of which the first frame),
            or (H, W, C) uint8 pixels with C = 1 or 3.

    Returns:
        (H, W, 3) uint8.
    """
    if image.dtype == tf.string:
        image = tf.io.decode_image(image, CHANNELS, expand_animations=False)
        return tf.ensure_shape(image, (None, None, CHANNELS))
    if image.shape[-1] == 1:
        return tf.image.grayscale_to_rgb(image)
    return image


def decode_crop(image, seed, area, aspect=(3 / 4, 4 / 3)):
    """Cut out a random box; a JPEG is decoded only where the box lies.

    Args:
        image: as in `decode`.
        seed: (2,) int64.
        area: (least, most) share of the image that the box covers, 0..1.
        aspect: (least, most) width / height of the box.

    Returns:
        (h, w, 3) uint8, size of the box.

    Source:
        Szegedy et al. 2014, arXiv:1409.4842, section 6; area (0.05, 1) is what
        ViT trains with.
    """
    if image.dtype == tf.string:
        return tf.cond(
            tf.io.is_jpeg(image),
            lambda: _fused_crop(image, seed, area, aspect),
            lambda: _slice_crop(decode(image), seed, area, aspect),
        )
    return _slice_crop(decode(image), seed, area, aspect)


def _box(shape, seed, area, aspect):
    """Top left corner and size of the box, each (3,) int32."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros((1, 0, 4)),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=aspect,
        area_range=area,
        use_image_if_no_bounding_boxes=True,
    )
    return begin, size


def _fused_crop(encoded, seed, area, aspect):
    shape = tf.io.extract_jpeg_shape(encoded)
    begin, size = _box(shape, seed, area, aspect)
    window = tf.concat([begin[:2], size[:2]], axis=0)
    image = tf.io.decode_and_crop_jpeg(encoded, window, channels=CHANNELS)
    return tf.ensure_shape(image, (None, None, CHANNELS))


def _slice_crop(image, seed, area, aspect):
    begin, size = _box(tf.shape(image), seed, area, aspect)
    size = tf.concat([size[:2], [CHANNELS]], axis=0)
    return tf.ensure_shape(tf.slice(image, begin, size), (None, None, CHANNELS))


def resize(image, size, interpolation="bilinear", antialias=False):
    """Resize without keeping the aspect ratio.

    Args:
        image: (H, W, 3) uint8 or float. size: (h, w) px, ints or a tensor.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: whether shrinking averages.

    Returns:
        (h, w, 3) float32, 0 to 255.
    """
    image = tf.image.resize(image, size, method=interpolation, antialias=antialias)
    return tf.clip_by_value(tf.cast(image, tf.float32), 0.0, 255.0)


def prepare(image, preprocessing):
    """Resize and crop as the model was told to, without chance.

    Args:
        image: (H, W, 3) uint8. preprocessing: `keras_vit.Preprocessing`.

    Returns:
        (h, w, 3) float32, 0 to 255, what `preprocessing.resize_images` gives.
    """
    height, width = preprocessing.image_size
    target = [int(side / preprocessing.crop) for side in (height, width)]
    if preprocessing.resize == "short_side":
        target = _cover(tf.shape(image)[:2], target)
    image = resize(image, target, preprocessing.interpolation, preprocessing.antialias)
    room = tf.shape(image)[:2] - [height, width]
    top, left = tf.unstack(tf.cast(tf.round(room / 2), tf.int32))
    return image[top : top + height, left : left + width]


def _cover(shape, target):
    """Smallest (H, W) of the same aspect ratio that covers the target."""
    scale = tf.reduce_max(tf.constant(target, tf.float64) / tf.cast(shape, tf.float64))
    covered = tf.cast(tf.cast(shape, tf.float64) * scale, tf.int32)
    return tf.maximum(covered, target)


def flip(image, seed):
    """Mirror left and right for every second image."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def affine(image, seed, shift, rotate, zoom, shear):
    """Move, turn, scale and slant a picture a little; black flows in.

    Args:
        image: (H, W, C) float32. seed: (2,) int64.
        shift: largest move, share of the side.
        rotate: largest turn to either side, degrees.
        zoom: largest change of size, drawn per axis; 0.1 is 0.9 to 1.1.
        shear: largest slant, tangent of its angle.

    Returns:
        (H, W, C) float32, bilinear.
    """
    turn = math.radians(rotate)
    limits = tf.constant([shift, shift, turn, zoom, zoom, shear])
    draw = tf.random.stateless_uniform((6,), seed, -1.0, 1.0) * limits
    down, right, angle, zoom_y, zoom_x, slant = tf.unstack(draw)
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = (1.0 + zoom_x) * cos, (1.0 + zoom_x) * (slant * cos - sin)
    c, d = (1.0 + zoom_y) * sin, (1.0 + zoom_y) * (slant * sin + cos)
    height, width = image.shape[0], image.shape[1]
    x, y = (width - 1) / 2, (height - 1) / 2
    left = x - a * x - b * y + right * width
    top = y - c * x - d * y + down * height
    matrix = tf.stack([a, b, left, c, d, top, 0.0, 0.0])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=matrix[None],
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(moved[0], image.shape)


def elastic(image, seed, strength, cells=3):
    """Bend a picture as if it were drawn on rubber; black flows in.

    Every point moves by a smooth random field: normal offsets at the knots of a
    coarse grid, cubic between them.

    Args:
        image: (H, W, C) float32. seed: (2,) int64.
        strength: std of the offsets, share of the side.
        cells: knots per side of the coarse grid.

    Returns:
        (H, W, C) float32, bilinear.

    Source:
        The idea is that of Simard et al. 2003, "Best practices for
        convolutional neural networks", section 2; theirs: a blurred field of
        single pixels, ours: a coarse grid.
    """
    height, width = image.shape[0], image.shape[1]
    knots = tf.random.stateless_normal((cells, cells, 2), seed, stddev=strength)
    offsets = tf.image.resize(knots, (height, width), method="bicubic")
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    points = tf.cast(tf.stack([y, x], axis=-1), tf.float32)
    return _sample(image, points + offsets * (height, width))


def _sample(image, points):
    """Read (H, W, C) pixels between pixels: points (h, w, 2) as (y, x) -> (h, w, C)."""
    size = tf.constant(image.shape[:2])
    padded = tf.pad(image, ((1, 1), (1, 1), (0, 0)))  # black all around
    points = tf.clip_by_value(points, -1.0, tf.cast(size, tf.float32))
    corner = tf.minimum(tf.floor(points), tf.cast(size - 1, tf.float32))
    part = points - corner
    corner = tf.cast(corner, tf.int32) + 1

    def at(down, right):
        return tf.gather_nd(padded, corner + (down, right))

    down, right = part[..., :1], part[..., 1:]
    upper = at(0, 0) * (1.0 - right) + at(0, 1) * right
    lower = at(1, 0) * (1.0 - right) + at(1, 1) * right
    return upper * (1.0 - down) + lower * down


def to_range(image, mode):
    """Bring 0 to 255 to the range of the model, as `keras_vit.preprocess_input`.

    Args:
        image: (..., 3) float32. mode: "google", "imagenet" or "none".
    """
    if mode == "google":
        return image / 127.5 - 1.0
    if mode == "imagenet":
        mean, std = RANGES[mode]
        return (image / 255.0 - tf.constant(mean)) / tf.constant(std)
    return image
