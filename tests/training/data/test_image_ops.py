import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_vit
from keras_vit.training.data import augment, image_ops

SEED = tf.constant([3, 4], tf.int64)


def picture(height=20, width=30):
    """Random pixels, (H, W, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8")


def in_graph(function, *args):
    """The function run inside tf.data, on one element."""
    data = tf.data.Dataset.from_tensors(args).map(function)
    return next(data.as_numpy_iterator())


def test_warps_of_zero_are_the_identity():
    """Numbers of zero move nothing."""
    images = tf.cast(picture()[None].repeat(2, 0), tf.float32)
    moved = image_ops.affine(images, tf.zeros((2, 6)), 0.1, 20.0, 0.2, 0.2)
    bent = image_ops.elastic(images, tf.zeros((2, 18)), 0.1)

    np.testing.assert_allclose(moved, images, atol=1e-3)
    np.testing.assert_allclose(bent, images, atol=1e-3)


def test_shifts_are_crops_of_a_mirrored_border():
    """Each image by its own whole pixels, every move from -4 to 4 equally often."""
    images = tf.cast(picture()[None].repeat(3, 0), tf.float32)
    numbers = np.array([[0.0, 0.0], [-1.0, 1.0], [0.4, -0.2]], "float32")
    moved = image_ops.shift(images, tf.constant(numbers), 4)

    wide = np.pad(images[0], ((4, 4), (4, 4), (0, 0)), mode="reflect")
    corners = [(4, 4), (8, 0), (2, 5)]  # of the crop: 4 - move
    for image, (top, left) in zip(moved, corners, strict=True):
        np.testing.assert_array_equal(wide[top : top + 20, left : left + 30], image)
    ramp = tf.tile(tf.range(90.0)[None, :, None, None], (900, 1, 9, 1))
    draws = np.stack([(np.arange(900) + 0.5) / 450 - 1] * 2, 1).astype("float32")
    downs = 40 - image_ops.shift(ramp, tf.constant(draws), 4)[:, 40, 0, 0].numpy()
    assert dict.fromkeys(range(-4, 5), 100) == dict(
        zip(*np.unique(downs, return_counts=True), strict=True)
    )
    with pytest.raises(ValueError, match="below the side of 20x30 px, got 20"):
        image_ops.shift(images, tf.constant(numbers), 20)
    assert 2 == augment.get_preset("flip|shift(4)").numbers


def test_warps_move_by_the_share_that_is_drawn():
    """Up by a fifth of the height, black flows in; each image by its own."""
    images = tf.cast(picture(20, 30)[None].repeat(2, 0), tf.float32)
    expected = np.pad(images[1, 4:], ((0, 4), (0, 0), (0, 0)))
    once = np.zeros((2, 6), "float32")
    once[1, 0] = 1.0
    knots = np.zeros((2, 9, 2), "float32")
    knots[1, :, 0] = 1.0
    moved = image_ops.affine(images, tf.constant(once), 0.2, 0.0, 0.0, 0.0)
    bent = image_ops.elastic(images, tf.constant(knots.reshape(2, 18)), 0.2)

    for warped in (moved, bent):
        np.testing.assert_allclose(images[0], warped[0], atol=1e-3)
        np.testing.assert_allclose(expected, warped[1], atol=1e-2)


def test_affine_turns_about_the_centre():
    """A disc in the middle stays in the middle, whatever is drawn but the shift."""
    rows, columns = np.mgrid[:31, :31] - 15
    disc = ((rows**2 + columns**2 < 50) * 200.0)[None, ..., None]
    images = tf.constant(disc.repeat(5, 0).repeat(3, -1), tf.float32)
    numbers = tf.random.stateless_uniform((5, 6), SEED, -1.0, 1.0)
    for moved in image_ops.affine(images, numbers, 0.0, 40.0, 0.2, 0.3).numpy()[..., 0]:
        centre = [(moved * rows).sum(), (moved * columns).sum()] / moved.sum()

        np.testing.assert_allclose(centre, 0.0, atol=0.1)


def test_a_jpeg_is_cropped_as_decoded_pixels_are():
    """The fused path cuts the same box as the plain one."""
    encoded = tf.io.encode_jpeg(picture(64, 48), quality=100)
    fused = image_ops.decode_crop(encoded, SEED, (0.2, 0.6))
    plain = image_ops.decode_crop(tf.io.decode_jpeg(encoded), SEED, (0.2, 0.6))

    assert plain.shape == fused.shape
    share = fused.shape[0] * fused.shape[1] / (64 * 48)
    assert 0.1 < share < 0.7
    np.testing.assert_allclose(
        tf.cast(plain, tf.int32), tf.cast(fused, tf.int32), atol=3
    )


@pytest.mark.parametrize("mode", ["google", "imagenet", "none"])
def test_ranges_equal_preprocess_input(mode):
    """tf.data and the model's own preparation give the same numbers."""
    image = tf.cast(picture(), tf.float32)
    expected = keras_vit.preprocess_input(picture(), mode=mode)

    np.testing.assert_allclose(image_ops.to_range(image, mode), expected, atol=1e-5)


def test_a_missing_keras_cv_is_explained(monkeypatch):
    """The message has the pip line."""
    monkeypatch.setitem(__import__("sys").modules, "keras_cv", None)
    with pytest.raises(ImportError, match="pip install keras-cv"):
        augment.keras_cv_layer("keras_cv:randaugment", 0)


@pytest.mark.parametrize("geometry", ["torchvision", "tensorflow"])
@pytest.mark.parametrize(
    "how",
    [
        {"interpolation": "bicubic", "rounding": "each_pass", "crop": 0.9},
        {"interpolation": "bilinear", "antialias": False, "crop": 0.875},
        {"interpolation": "bilinear", "rounding": "truncate"},
        {"resize": "squash"},
    ],
    ids=str,
)
def test_evaluation_prepares_images_as_the_model_does(geometry, how):
    """Inside tf.data an image becomes what `Preprocessing` makes of it; rounding
    may fall to the other side by one level."""
    note = keras_vit.Preprocessing(
        (24, 24), **{"resize": "short_side", "geometry": geometry, **how}
    )
    for height, width in ((41, 67), (67, 40), (24, 31)):
        image = picture(height, width)
        (result,) = in_graph(lambda x: (image_ops.prepare(x, note),), image)
        expected = keras.ops.convert_to_numpy(note.resize_images(image))

        assert np.abs(expected - result).max() <= (
            1 if note.rounding != "none" else 0.01
        )


def test_a_jpeg_decodes_as_pillow_decodes_it():
    """The pipeline and `predict` see the same pixels."""
    smooth = np.linspace(0, 255, 40)[:, None, None] * np.ones((1, 52, 3))
    stream = io.BytesIO()
    Image.fromarray(smooth.astype("uint8")).save(stream, "jpeg")
    (result,) = in_graph(lambda x: (image_ops.decode(x),), stream.getvalue())

    np.testing.assert_array_equal(np.asarray(Image.open(stream)), result)
