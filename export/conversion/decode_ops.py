"""TensorFlow operators that decode JPEG or PNG and preprocess at any image size.

The same arithmetic as `keras_vit.Preprocessing`, whose matrices are made here while
the graph runs, because only then the size of an image is known.
"""

from keras_vit.layers.interpolate import REACH
from keras_vit.orientation import number_in_graph, upright_in_graph
from keras_vit.preprocess import preprocess_input


def decode(preprocessing):
    """Make a TensorFlow function of encoded images: decode, resize, crop, normalise.

    Args:
        preprocessing: `Preprocessing`.

    Returns:
        function of (B,) strings, JPEG, PNG or GIF, that gives (B, H, W, 3) float32.
        Photos are turned the right way up.
    """
    import tensorflow as tf

    spec = tf.TensorSpec((*preprocessing.image_size, 3), tf.float32)

    def prepare(content):
        # Pillow's decoder is as accurate; TensorFlow's default is not.
        image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        image = upright_in_graph(image, number_in_graph(content))
        return preprocess_input(resize(image, preprocessing), preprocessing.range)

    return lambda contents: tf.map_fn(prepare, contents, fn_output_signature=spec)


def resize(image, preprocessing):
    """Resize and crop an image as `Preprocessing.resize_images` does.

    Args:
        image: (H, W, C) tensor. preprocessing: `Preprocessing`.

    Returns:
        (h, w, C) float32 tensor of 0 to 255.
    """
    import tensorflow as tf

    image, shape = tf.cast(image, "float32"), tf.shape(image)
    height, width = resized_shape(shape[0], shape[1], preprocessing)
    down = weights(shape[0], height, preprocessing.image_size[0], preprocessing)
    across = weights(shape[1], width, preprocessing.image_size[1], preprocessing)
    image = _round(tf.einsum("qw,hwc->hqc", across, image), preprocessing)
    image = _round(tf.einsum("ph,hwc->pwc", down, image), preprocessing)
    image = tf.ensure_shape(image, (*preprocessing.image_size, None))
    return tf.floor(image + 1e-4) if preprocessing.rounding == "truncate" else image


def _round(image, preprocessing):
    import tensorflow as tf

    if preprocessing.rounding == "each_pass":
        image = tf.floor(image + 0.5)
    return tf.clip_by_value(image, 0.0, 255.0)


def resized_shape(height, width, preprocessing):
    """(H, W) int32 tensors before the centre crop."""
    import tensorflow as tf

    out_h, out_w = (int(side / preprocessing.crop) for side in preprocessing.image_size)
    if preprocessing.resize == "squash":
        return tf.constant(out_h), tf.constant(out_w)

    def long(side, new, old):
        """The other side, as the short one goes from `old` to `new`."""
        whole = tf.cast(side * new, "float64") / tf.cast(old, "float64")
        whole = whole if preprocessing.geometry == "torchvision" else tf.round(whole)
        return tf.cast(whole, "int32")

    fits = out_h * width >= out_w * height  # the height is what just fits
    tall = tf.maximum(long(height, out_w, width), out_h)
    wide = tf.maximum(long(width, out_h, height), out_w)
    return tf.where(fits, out_h, tall), tf.where(fits, wide, out_w)


def weights(old, resized, kept, preprocessing):
    """Interpolation weights (kept, old) float32: one row per pixel in the centre crop.

    Args:
        old, resized: int32 tensors, px. kept: px. preprocessing: `Preprocessing`.
    """
    import tensorflow as tf

    half = tf.cast(resized - kept, "float64") / 2
    half = tf.round(half) if preprocessing.geometry == "torchvision" else tf.floor(half)
    rows = tf.cast(tf.range(kept), "float64")[:, None] + half
    scale = tf.cast(old, "float64") / tf.cast(resized, "float64")
    function = _area if preprocessing.interpolation == "area" else _kernel
    if preprocessing.interpolation == "nearest":
        picked = tf.minimum(tf.cast((rows + 0.5) * scale, "int32"), old - 1)
        return tf.one_hot(picked[:, 0], old)
    return tf.cast(function(rows, scale, old, preprocessing), "float32")


def _area(rows, scale, old, preprocessing):
    """Area interpolation weights: the share of each sample in an output pixel."""
    import tensorflow as tf

    samples = tf.cast(tf.range(old), "float64")
    low = tf.maximum(rows * scale, samples)
    covered = tf.maximum(tf.minimum((rows + 1) * scale, samples + 1) - low, 0)
    return covered / tf.reduce_sum(covered, axis=1, keepdims=True)


def _kernel(rows, scale, old, preprocessing):
    """Bilinear or bicubic weights, antialiased where the preprocessing says so."""
    import tensorflow as tf

    centres, reach = (rows + 0.5) * scale - 0.5, int(REACH[preprocessing.interpolation])
    stretch = tf.maximum(scale, 1.0) if preprocessing.antialias else tf.ones_like(scale)
    samples = tf.cast(tf.range(-reach, old + reach), "float64")
    values = _weight(preprocessing.interpolation, (samples - centres) / stretch)
    inner = values[:, reach:-reach]
    if preprocessing.antialias:
        support = reach * stretch
        low, high = tf.floor(centres - support + 1), tf.floor(centres + support + 1)
        within = (samples >= low) & (samples < high)
        inner = inner * tf.cast(within, "float64")[:, reach:-reach]
        return inner / tf.reduce_sum(inner, axis=1, keepdims=True)
    # What lies beyond an edge is the sample at the edge.
    first = tf.reduce_sum(values[:, :reach], axis=1, keepdims=True)
    last = tf.reduce_sum(values[:, -reach:], axis=1, keepdims=True)
    ends = tf.one_hot([0, old - 1], old, dtype="float64")
    return inner + first * ends[0] + last * ends[1]


def _weight(method, distance):
    """The triangle kernel, or Keys' cubic with a = -0.5."""
    import tensorflow as tf

    t = tf.abs(distance)
    if method == "bilinear":
        return tf.maximum(1.0 - t, 0.0)
    near = (1.5 * t - 2.5) * t * t + 1
    far = -0.5 * (((t - 5) * t + 8) * t - 4)
    return tf.where(t < 1, near, tf.where(t < 2, far, tf.zeros_like(t)))
