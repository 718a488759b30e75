"""One function per step between a file and a training image, in TensorFlow ops.

Nothing here draws by itself: a random step is a pure function of a seed, or of
numbers drawn before, one row per image. The same example at the same step is
therefore drawn the same way on any number of devices, and whole batches are
warped at once. Images stay on a scale of 0 to 255 until `to_range`.
"""

import math

import numpy as np
import tensorflow as tf

from keras_vit import ranges
from keras_vit.orientation import HEAD, number_in_file
from keras_vit.preprocess import read_image

CHANNELS = 3
PNG = b"\x89PNG\r\n\x1a\n"


def decode(image):
    """Give every picture three channels, whatever its format.

    Args:
        image: scalar string, what is in a file that `keras_vit.preprocess.read_image`
            reads, or (H, W, C) uint8 pixels with C = 1 or 3.

    Returns:
        (H, W, 3) uint8.
    """
    if image.dtype == tf.string:
        plain = tf.io.is_jpeg(image) & ~_has_tags(image)
        image = tf.cond(plain, lambda: _decode_here(image), lambda: _decode_any(image))
        return tf.ensure_shape(image, (None, None, CHANNELS))
    if image.shape[-1] == 1:
        return tf.image.grayscale_to_rgb(image)
    return image


def _has_tags(image):
    """Whether a JPEG or PNG may have something to say about its pixels."""
    head = tf.strings.substr(image, 0, HEAD)
    return tf.strings.regex_full_match(head, r"\C*(Exif|eXIf)\C*")


def _decode_here(image):
    """A JPEG or PNG, as it lies in the file."""
    # The exact transform, as Pillow: the default one is off by a level.
    return tf.io.decode_jpeg(image, CHANNELS, dct_method="INTEGER_ACCURATE")


def _decode_any(image):
    """Whatever Pillow reads, the right way up."""
    png = tf.strings.substr(image, 0, len(PNG)) == PNG
    return tf.cond(
        (png & ~_has_tags(image)) | _is_upright_jpeg(image),
        lambda: _decode_here(image),
        lambda: tf.numpy_function(_read, [image], tf.uint8, stateful=False),
    )


def _read(content):
    return read_image(_bytes(content))


def _bytes(content):
    """A string as TensorFlow hands it over: outside of graphs it is an array."""
    return content if isinstance(content, bytes) else content.item()


def _is_upright_jpeg(image):
    """Whether a file is a JPEG that need not be turned."""
    head = tf.strings.substr(image, 0, HEAD)

    def look(head):
        head = _bytes(head)
        return head.startswith(b"\xff\xd8") and number_in_file(head) == 1

    found = tf.numpy_function(look, [head], tf.bool, stateful=False)
    return tf.ensure_shape(found, ())


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
        upright = tf.cond(
            tf.io.is_jpeg(image) & ~_has_tags(image),
            lambda: True,
            lambda: _is_upright_jpeg(image),
        )
        return tf.cond(
            upright,
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


def inception_crop(image, seed, note, least, interpolation="bilinear"):
    """A random box that covers `least` to 1 of the image, made as large as asked.

    Bilinear without antialiasing, fractions dropped, as in big_vision.

    Args:
        image: as in `decode`. seed: (2,) int64. note: `Preprocessing`.
        least: share of the image, 0..1.

    Returns:
        (h, w, 3) uint8.
    """
    image = decode_crop(image, seed, (least, 1.0))
    # TensorFlow makes the same numbers of bytes, but takes half as long again.
    image = tf.cast(image, tf.float32)
    image = tf.image.resize(image, note.image_size, interpolation)
    return tf.cast(image, tf.uint8)


def random_resized_crop(image, seed, note, least, interpolation="bicubic"):
    """The same with Pillow's bicubic, antialiased, as timm and MAE have it."""
    image = decode_crop(image, seed, (least, 1.0))
    image = resize(image, note.image_size, interpolation, antialias=True)
    return tf.cast(image + 0.5, tf.uint8)


def resize_crop(image, seed, note, side, interpolation="bilinear"):
    """Squash to a square of `side` px, then cut out a random box, as BiT does."""
    return _random_crop(
        resize(decode(image), (side, side), interpolation), seed, note.image_size, side
    )


def resmall_crop(image, seed, note, side, interpolation="bilinear"):
    """Resize the short side to `side` px, then cut out a random box (big_vision)."""
    image = decode(image)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    shape = tf.cast(tf.round(shape * (side / tf.reduce_min(shape))), tf.int32)
    image = resize(image, shape, interpolation)
    return _random_crop(image, seed, note.image_size, side)


def _random_crop(image, seed, size, side):
    """A random crop of fixed size."""
    if side < max(size):
        raise ValueError(
            f"augment: the image must be resized to {max(size)} px or more before a "
            f"crop of {size[0]} x {size[1]} px, got {side}. Write a larger number."
        )
    free = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    begin = tf.cast(tf.random.stateless_uniform((2,), seed) * free, tf.int32)
    return tf.cast(
        tf.slice(image, (*tf.unstack(begin), 0), (*size, CHANNELS)), tf.uint8
    )


def resize(image, size, interpolation="bilinear", antialias=False):
    """Resize without keeping the aspect ratio.

    Args:
        image: (H, W, 3) uint8 or float. size: (h, w) px, ints or a tensor.
        interpolation: "nearest", "bilinear", "bicubic" or "area".
        antialias: whether shrinking averages.

    Returns:
        (h, w, 3) float32, 0 to 255.
    """
    image = tf.convert_to_tensor(image)
    known = isinstance(size, tuple) and all(isinstance(side, int) for side in size)
    if known and image.shape.is_fully_defined():
        grows = image.shape[0] <= size[0] and image.shape[1] <= size[1]
        antialias = antialias and not grows  # same numbers, cheaper
    image = tf.image.resize(image, size, method=interpolation, antialias=antialias)
    return tf.clip_by_value(tf.cast(image, tf.float32), 0.0, 255.0)


def prepare(image, preprocessing):
    """Resize and crop for evaluation, without randomness.

    Args:
        image: (H, W, 3) uint8. preprocessing: `keras_vit.Preprocessing`.

    Returns:
        (h, w, 3) float32, 0 to 255, what `preprocessing.resize_images` gives.
    """
    height, width = preprocessing.image_size
    whole = preprocessing.rounding
    how = preprocessing.interpolation, preprocessing.antialias
    target = tuple(int(side / preprocessing.crop) for side in (height, width))
    if preprocessing.resize == "short_side":
        target = _cover(tf.shape(image)[:2], target, preprocessing.geometry)
    if whole == "each_pass" or "bicubic" in how:  # what happens between is seen
        image = resize(image, (tf.shape(image)[0], target[1]), *how)
    if whole == "each_pass":
        image = tf.floor(image + 0.5)
    image = resize(image, target, *how)
    if whole != "none":
        image = tf.floor(image + (0.5 if whole == "each_pass" else 1e-4))
    if preprocessing.resize == "squash" and preprocessing.crop == 1.0:
        return image
    room = tf.shape(image)[:2] - [height, width]
    corner = tf.round if preprocessing.geometry == "torchvision" else tf.floor
    top, left = tf.unstack(tf.cast(corner(room / 2), tf.int32))
    return image[top : top + height, left : left + width]


def _cover(shape, target, geometry):
    """(H, W) of the same aspect ratio that just covers the target."""
    height, width = tf.unstack(tf.cast(shape, tf.float64))
    out_h, out_w = target
    long = tf.floor if geometry == "torchvision" else tf.round
    sides = tf.cond(
        out_h * width >= out_w * height,  # the height is what just fits
        lambda: [tf.constant(out_h, tf.float64), long(out_h * width / height)],
        lambda: [long(out_w * height / width), tf.constant(out_w, tf.float64)],
    )
    return tf.maximum(tf.cast(tf.stack(sides), tf.int32), target)


def shift(images, numbers, pixels):
    """Move pictures by whole pixels; what is left empty mirrors the border.

    The same as padding by reflection and cutting at a random place.

    Args:
        images: (B, H, W, C) float32. numbers: (B, 2) in -1..1: down, right.
        pixels: largest move to either side.

    Returns:
        (B, H, W, C) float32.

    Raises:
        ValueError: for a move that is as large as the picture.
    """
    pixels = int(pixels)
    if pixels >= min(images.shape[1:3]):
        raise ValueError(
            f"shift: must be below the side of {images.shape[1]}x{images.shape[2]} px, "
            f"got {pixels}. Write shift(4), for example."
        )
    moves = tf.cast(tf.floor((numbers + 1.0) * (pixels + 0.5)), tf.int32) - pixels
    moves = tf.minimum(moves, pixels)  # a number of exactly 1
    for axis in (1, 2):
        last = images.shape[axis] - 1
        index = tf.abs(tf.range(last + 1) - moves[:, axis - 1, None])  # (B, side)
        index = last - tf.abs(last - index)
        images = tf.gather(images, index, axis=axis, batch_dims=1)
    return images


def affine(images, numbers, shift, rotate, zoom, shear, interpolation="bilinear"):
    """Move, turn, scale and slant pictures a little; black flows in.

    Args:
        images: (B, H, W, C) float32.
        numbers: (B, 6) in -1..1: up, left, turn, zoom of y and x, slant.
        shift: largest move, share of the side.
        rotate: largest turn to either side, degrees.
        zoom: largest change of size per axis; 0.1 is 0.9 to 1.1.
        shear: largest slant, tangent of its angle. interpolation: or "nearest".

    Returns:
        (B, H, W, C) float32.
    """
    height, width = images.shape[1:3]
    limits = [shift * height, shift * width, math.radians(rotate), zoom, zoom, shear]
    up, left, angle, zoom_y, zoom_x, slant = tf.unstack(numbers * limits, axis=1)
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = (1.0 + zoom_x) * cos, (1.0 + zoom_x) * (slant * cos - sin)
    c, d = (1.0 + zoom_y) * sin, (1.0 + zoom_y) * (slant * sin + cos)
    x, y = (width - 1) / 2, (height - 1) / 2
    left += x - a * x - b * y
    up += y - c * x - d * y
    zeros = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, left, c, d, up, zeros, zeros], axis=1),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode="CONSTANT",
    )


def elastic(images, numbers, strength, cells=3, interpolation="bilinear"):
    """Bend pictures as if they were drawn on rubber; black flows in.

    Every point moves by a smooth random field: offsets at the knots of a coarse
    grid, cubic between them.

    Args:
        images: (B, H, W, C) float32.
        numbers: (B, 2 * cells * cells) in -1..1, offsets of the knots.
        strength: largest offset of a knot, share of the side.
        cells: knots per side of the grid. interpolation: or "nearest".

    Returns:
        (B, H, W, C) float32.

    Source:
        The idea is that of Simard et al. 2003, "Best practices for
        convolutional neural networks", section 2; theirs: a blurred field of
        single pixels, ours: a coarse grid.
    """
    height, width = images.shape[1:3]
    knots = tf.reshape(numbers, (-1, cells, cells, 2))
    offsets = tf.image.resize(knots, (height, width), method="bicubic")
    y, x = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    points = tf.cast(tf.stack([y, x], axis=-1), tf.float32)
    points += offsets * [strength * height, strength * width]
    points = tf.round(points) if interpolation == "nearest" else points
    return _sample(images, points)


def _sample(images, points):
    """Read between pixels: (B, H, W, C) at (B, H, W, 2) as (y, x) -> (B, H, W, C)."""
    height, width, channels = images.shape[1:]
    black = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))  # all around
    pixels = tf.reshape(black, (-1, (height + 2) * (width + 2), channels))
    last = tf.constant([height, width], tf.float32)
    points = tf.clip_by_value(points, -1.0, last)
    corner = tf.minimum(tf.floor(points), last - 1.0)
    down, right = tf.split(points - corner, 2, axis=-1)
    y, x = tf.unstack(tf.cast(corner, tf.int32) + 1, axis=-1)
    index = y * (width + 2) + x

    def at(step):
        return tf.gather(pixels, index + step, batch_dims=1)

    upper = at(0) * (1.0 - right) + at(1) * right
    lower = at(width + 2) * (1.0 - right) + at(width + 3) * right
    return upper * (1.0 - down) + lower * down


def to_range(image, mode):
    """Bring 0 to 255 to the range of the model, as `keras_vit.preprocess_input`.

    Args:
        image: (..., 3) uint8 or float32. mode: see `keras_vit.preprocess_input`.
    """
    if mode == "google" and image.dtype == tf.uint8:  # one pass instead of three
        image = tf.bitcast(image, tf.quint8)
        return tf.quantization.dequantize(image, -1.0, 1.0)
    image = tf.cast(image, tf.float32)
    if mode == "google":
        return image / 127.5 - 1.0
    rows = ranges.in_channels(mode, image.shape[-1])
    if rows is None:
        return image
    mean, std = (np.array(row, "float32") for row in rows)
    return image * (1.0 / (255.0 * std)) - mean / std
