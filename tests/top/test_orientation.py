"""A file means the same in Pillow, in a pipeline and in a served model."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import keras_vit
from keras_vit import orientation
from keras_vit.preprocess import read_image

tf = pytest.importorskip("tensorflow")
SIZE = (24, 40)  # H, W px


@pytest.fixture(scope="module")
def pipeline():
    """Decodes as training does."""
    from keras_vit.training.data import image_ops

    return tf.function(image_ops.decode, input_signature=[tf.TensorSpec((), tf.string)])


@pytest.fixture(scope="module")
def served():
    """Decodes as a SavedModel that takes files."""
    from keras_vit.export.conversion import decode_ops

    spec = [tf.TensorSpec((None,), tf.string)]
    return {
        size: tf.function(
            decode_ops.decode(keras_vit.Preprocessing(size, "none")),
            input_signature=spec,
        )
        for size in (SIZE, SIZE[::-1])
    }


def picture(mode="RGB"):
    """Blocks of colour, in a mode of Pillow."""
    blocks = np.random.default_rng(0).integers(0, 256, (3, 5, 3), "uint8")
    image = Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1))
    if mode == "I;16":
        deep = np.asarray(image.convert("L")).astype("uint16") * 257
        return Image.fromarray(deep)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def encoded(image, kind, **options):
    """The bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tagged(number, kind, order="<", **options):
    """A file with an orientation beside its pixels."""
    tags = Image.Exif()
    tags.endian = order
    tags[0x010F], tags[orientation.TAG] = "a phone", number
    return encoded(picture(), kind, exif=tags, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("number", range(10))
def test_photos_are_turned_the_right_way_up(kind, number, pipeline):
    """As Pillow's exif_transpose does it, everywhere; 0 and 9 are no number."""
    raw = tagged(number, kind)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(raw))).convert("RGB")

    np.testing.assert_array_equal(expected, read_image(raw))
    np.testing.assert_array_equal(expected, pipeline(raw))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_served_model_turns_them_too(kind, served):
    """Its operators read the same number; both orders of bytes."""
    for number in range(10):
        for order in "<>":
            raw = tagged(number, kind, order)
            pixels = read_image(raw)
            found = served[pixels.shape[:2]](tf.constant([raw]))

            np.testing.assert_allclose(pixels, found[0], atol=1e-3)
            assert orientation.number_in_file(raw) == orientation.number_in_graph(raw)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_other_notes_may_stand_before_the_tags(pipeline):
    """A colour profile and a comment do no harm, damaged tags neither."""
    first = tagged(6, "JPEG")
    profile = b"\xff\xe2\x01\x02" + b"p" * 256
    late = first[:2] + profile + first[2:]
    damaged = first.replace(b"II*\0\x08", b"II*\0\xff")
    far = first[:2] + b"\xff\xe2\xff\x02" + b"p" * 0xFF00 + first[2:]

    for raw, number in ((late, 6), (damaged, 1), (far, 1)):
        assert number == orientation.number_in_file(raw[: orientation.HEAD])
        assert number == orientation.number_in_graph(raw)
        np.testing.assert_array_equal(read_image(raw), pipeline(raw))


def test_a_box_is_cut_out_of_the_turned_photo():
    """The same box as of the turned pixels."""
    from keras_vit.training.data import image_ops

    raw, seed = tagged(6, "JPEG", quality=100), tf.constant([1, 2], tf.int64)
    cut = image_ops.decode_crop(tf.constant(raw), seed, (0.2, 0.6))
    expected = image_ops.decode_crop(tf.constant(read_image(raw)), seed, (0.2, 0.6))

    np.testing.assert_array_equal(expected, cut)


VARIANTS = [
    *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"subsampling": 0}),
    *(("PNG", mode, {}) for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16")),
    ("PNG", "P", {"bits": 4}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "RGB", {"icc_profile": b"p" * 400}),
    *(("BMP", mode, {}) for mode in ("RGB", "L", "1", "P", "RGBA")),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    ("GIF", "P", {"transparency": 0}),
    *(("WEBP", mode, {"lossless": True}) for mode in ("RGB", "RGBA")),
    ("WEBP", "RGB", {}),
    *(("TIFF", mode, {}) for mode in ("RGB", "L", "1", "P", "CMYK", "I;16")),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    *(("PPM", mode, {}) for mode in ("RGB", "L")),
    ("GIF", "P", {"save_all": True, "append_images": [Image.new("P", SIZE[::-1])]}),
]
NAMES = [f"{kind}-{mode}-{'-'.join(options)}" for kind, mode, options in VARIANTS]


@pytest.mark.parametrize(("kind", "mode", "options"), VARIANTS, ids=NAMES)
def test_every_variant_is_decoded_alike(kind, mode, options, pipeline, served):
    """Pillow and the pipeline see the same pixels, and so does a served model where it
    takes the format."""
    raw = encoded(picture(mode), kind, **options)
    expected = read_image(raw)

    assert ((*SIZE, 3), "uint8") == (expected.shape, expected.dtype.name)
    np.testing.assert_array_equal(expected, pipeline(raw))
    if kind in ("JPEG", "PNG"):
        found = served[SIZE](tf.constant([raw]))[0]
        np.testing.assert_allclose(expected, found, atol=1e-3)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_scale_are_refused(mode):
    """32 bits a pixel from 0 to 1 or to 60000 would become black or white."""
    for high in (1.0, 60_000.0):
        levels = np.linspace(0, high, 64).reshape(8, 8).astype("float32")
        raw = encoded(Image.fromarray(levels).convert(mode), "TIFF")
        with pytest.raises(ValueError, match="32-bit pixels from 0 to"):
            read_image(raw)
