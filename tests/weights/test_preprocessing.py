"""Images reach the model as they did where its weights were made."""

import io

import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.preprocess import Preprocessing, preprocess_image_file, read_image

LEVEL = 1.0  # one of 256, on the scale of resize_images


def photo(height=211, width=317, seed=0):
    """A smooth image with sharp edges, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a) * np.cos(y / b) for a, b in ((9, 7), (23, 5), (4, 31))]
    image = np.stack(waves, axis=-1) * 127 + 128
    image[40:90, 60:130] = 255
    image[100:140, 200:260] = 0
    image += rng.normal(scale=12, size=image.shape)
    return image.clip(0, 255).astype("uint8")


def encoded(image, format="JPEG", mode=None):
    """The bytes of an image file."""
    from PIL import Image

    picture = Image.fromarray(image)
    buffer = io.BytesIO()
    (picture if mode is None else picture.convert(mode)).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(211, 317), (317, 211), (100, 120), (600, 801)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_equals_pil(shape, name):
    """Short side, centre crop and rounding of torchvision on PIL images."""
    from PIL import Image

    image = photo(*shape)
    preparation = Preprocessing((224, 224), "none", "short_side", 0.9, name, True)
    preparation = Preprocessing(**{**preparation.get_config(), "rounding": "each_pass"})
    height, width = shape
    short = int(224 / 0.9)
    size = (short, int(short * width / height))
    if width < height:
        size = (int(short * height / width), short)
    picture = Image.fromarray(image).resize(size[::-1], getattr(Image, name.upper()))
    top, left = (round((side - 224) / 2) for side in size)
    expected = np.asarray(picture)[top : top + 224, left : left + 224].astype("float32")

    got = ops.convert_to_numpy(preparation.resize_images(image))

    assert expected.shape == got.shape
    assert LEVEL >= np.abs(expected - got).max()
    assert 0.01 > np.mean(expected != got)


def test_squash_equals_pil():
    """transformers resizes with PIL straight to the size."""
    from PIL import Image

    image = photo()
    preparation = Preprocessing((224, 160), "none", rounding="each_pass")
    expected = np.asarray(Image.fromarray(image).resize((160, 224), Image.BILINEAR))

    got = ops.convert_to_numpy(preparation.resize_images(image))

    assert LEVEL >= np.abs(expected.astype("float32") - got).max()


@pytest.mark.parametrize("shape", [(211, 317), (100, 120), (600, 801)])
@pytest.mark.parametrize(
    ("method", "antialias"),
    [("bilinear", False), ("bilinear", True), ("area", False), ("nearest", False)],
)
def test_equals_tensorflow(shape, method, antialias):
    """vit_jax and big_vision resize with tf.image.resize."""
    tf = pytest.importorskip("tensorflow")
    image = photo(*shape)
    expected = tf.image.resize(image, (224, 224), method=method, antialias=antialias)
    preparation = Preprocessing((224, 224), "none", "squash", 1.0, method, antialias)

    got = ops.convert_to_numpy(preparation.resize_images(image))

    # TensorFlow's coordinates are float32: up to 0.006 of 255 levels off
    assert 1e-2 > np.abs(np.float32(expected) - got).max()


def test_equals_big_vision():
    """Short side to 256 by area, back to uint8, centre crop of 224."""
    tf = pytest.importorskip("tensorflow")
    image = photo(300, 403)
    preparation = keras_vit.weights.catalog.PREPARATIONS["big_vision"]
    small = tf.image.resize(image, (256, round(403 * 256 / 300)), method="area")
    small = tf.cast(small, tf.uint8).numpy()
    left = (small.shape[1] - 224) // 2
    expected = small[16:240, left : left + 224].astype("float32")

    got = Preprocessing((224, 224), **preparation).resize_images(image)

    assert LEVEL >= np.abs(expected - ops.convert_to_numpy(got)).max()


def test_batches_and_single_images_agree():
    """A batch is prepared like each of its images."""
    images = np.stack([photo(seed=0), photo(seed=1)])
    preparation = Preprocessing((64, 64), "imagenet", "short_side", 0.875)

    batch = ops.convert_to_numpy(preparation(images))

    assert (2, 64, 64, 3) == batch.shape
    single = ops.convert_to_numpy(preparation(images[1]))
    assert np.allclose(batch[1], single, atol=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_image_files(mode, tmp_path):
    """Grey and print-colour JPEGs come as three channels, from a path or from bytes."""
    raw = encoded(photo(), "JPEG", mode)
    (tmp_path / "x.jpg").write_bytes(raw)
    preparation = Preprocessing((32, 32))

    from_bytes = preprocess_image_file(raw, preparation)

    assert (32, 32, 3) == from_bytes.shape and np.float32 == from_bytes.dtype
    assert 1.0 >= np.abs(from_bytes).max()
    assert np.array_equal(
        from_bytes, preprocess_image_file(tmp_path / "x.jpg", preparation)
    )


def test_png_is_exact():
    """A lossless file gives its pixels back."""
    assert np.array_equal(photo(), read_image(encoded(photo(), "PNG")))


def test_deep_grey_keeps_its_upper_bits():
    """16 bits a pixel, as scanners write them, are halved and not cut off."""
    deep = (photo()[..., 0].astype("uint16") << 8) + 77
    pixels = read_image(encoded(deep, "PNG"))

    assert np.array_equal(np.repeat(photo()[..., :1], 3, axis=2), pixels)


@pytest.mark.parametrize("raw", [b"", b"<html>", encoded(photo())[:800]])
def test_files_that_are_no_images(raw, tmp_path):
    """Damage is one clear error that names the file."""
    (tmp_path / "bad.jpg").write_bytes(raw)

    with pytest.raises(ValueError, match=r"bad.jpg: must be an image such as a JPEG"):
        read_image(tmp_path / "bad.jpg")


def test_missing_image(tmp_path):
    """A path that is not there says so."""
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg")


def test_unknown_choices():
    """Each field lists what it may be."""
    with pytest.raises(ValueError, match="rounding: must be one of 'none', 'each"):
        Preprocessing(rounding="up")
    with pytest.raises(ValueError, match="interpolation: must be one of .*'area'"):
        Preprocessing(interpolation="lanczos")


def test_imagenet_names_need_no_network():
    """The 1000 names of ImageNet-1k are part of the package."""
    scores = np.zeros((1, 1000), "float32")
    scores[0, [285, 0]] = 2.0, 1.0

    (best,) = keras_vit.decode_predictions(scores, top=2)

    assert [("Egyptian_cat", 2.0), ("tench", 1.0)] == best
