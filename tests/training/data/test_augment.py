import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import keras_vit
from keras_vit.training.data import augment, color, geometry, image_ops, policies

SEED = tf.constant([3, 4], tf.int64)
NOTE = keras_vit.Preprocessing((32, 32))


def photo(height=32, width=40):
    """Smooth colours with noise on top, so that histograms have a shape."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    waves = [rows * 4, columns * 3, rows * columns / 7]
    pixels = np.stack(waves, -1) + rng.uniform(0, 40, (height, width, 3)) + 20
    return np.clip(pixels, 3, 250).astype("uint8")


IMAGE = tf.constant(photo())
PILLOW = Image.fromarray(photo())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (color.autocontrast, ImageOps.autocontrast),
        (color.equalize, ImageOps.equalize),
        (color.invert, ImageOps.invert),
        (lambda i: color.posterize(i, 3), lambda i: ImageOps.posterize(i, 3)),
        (lambda i: color.posterize(i, 8), lambda i: i),
        (lambda i: color.solarize(i, 99), lambda i: ImageOps.solarize(i, 99)),
        (lambda i: color.solarize(i, 0), ImageOps.invert),
        (lambda i: color.solarize(i, 256), lambda i: i),
    ],
)
def test_colours_equal_those_of_pillow(ours, theirs):
    """To the bit, for changes of single levels."""
    np.testing.assert_array_equal(np.asarray(theirs(PILLOW)), ours(IMAGE))


@pytest.mark.parametrize("factor", [0.1, 0.64, 1.0, 1.9])
@pytest.mark.parametrize("name", ["brightness", "contrast", "color", "sharpness"])
def test_enhancing_equals_that_of_pillow(name, factor):
    """To two levels: Pillow rounds the worse image, and the result, in other ways."""
    theirs = getattr(ImageEnhance, name.capitalize())(PILLOW).enhance(factor)
    ours = getattr(color, name)(IMAGE, factor)

    np.testing.assert_allclose(
        np.asarray(theirs, "int32"), tf.cast(ours, tf.int32), atol=2
    )


def test_policies_are_the_same_in_a_graph():
    """What is called there is what is run eagerly: of every branch at least once."""
    draw = {
        "tf": lambda i, s: policies.randaug(i, s, 3, 9),
        "timm": lambda i, s: policies.timm_randaug(i, s, (9, 9, 9), n=3),
    }
    for name, apply in draw.items():
        seeds = np.stack([np.arange(20), np.full(20, 7)], 1)
        data = tf.data.Dataset.from_tensor_slices(seeds)
        results = data.map(lambda s, apply=apply: apply(IMAGE, s)).as_numpy_iterator()
        for seed, result in zip(seeds, results, strict=True):
            expected = apply(IMAGE, tf.constant(seed)).numpy().astype(int)

            assert np.abs(expected - result).max() <= 1, name


def test_a_flat_channel_stays():
    """Nothing is divided by zero."""
    flat = tf.fill((4, 4, 3), tf.constant(77, tf.uint8))

    np.testing.assert_array_equal(flat, color.autocontrast(flat))
    np.testing.assert_array_equal(flat, color.equalize(flat))


def test_solarize_add_lightens_what_is_dark():
    """Below 128 by the amount, up to 255; the rest stays."""
    values = photo().astype(int)
    expected = np.where(values < 128, np.minimum(values + 150, 255), values)

    np.testing.assert_array_equal(expected, color.solarize_add(IMAGE, 150))


def test_grey_and_blur_equal_those_of_pillow():
    """Pillow's blur is three box filters, near a bell curve."""
    grey = np.asarray(PILLOW.convert("L").convert("RGB"), "int32")
    blurred = np.asarray(PILLOW.filter(ImageFilter.GaussianBlur(1.5)), "int32")
    inner = np.s_[6:-6, 6:-6]

    np.testing.assert_allclose(grey, tf.cast(color.grayscale(IMAGE), tf.int32), atol=1)
    ours = tf.cast(color.gaussian_blur(IMAGE, 1.5), tf.int32)
    np.testing.assert_allclose(blurred[inner], ours[inner], atol=3)


def origins(matrix, height=32, width=40):
    """Rows and columns that the pixels come from, in numpy."""
    y, x = np.mgrid[:height, :width]
    a, b, c, d, e, f = (float(number) for number in matrix)
    return d * x + e * y + f, a * x + b * y + c


@pytest.mark.parametrize("amount", [-0.21, 0.3])
@pytest.mark.parametrize("kind", ["turn", "shear_x", "shear_y", "shift"])
def test_places_are_read_from_their_origin(kind, amount):
    """The nearest pixel, else the fill; the smooth form is near it where it is flat."""
    matrix = {
        "turn": geometry.turn(IMAGE, 60 * amount),
        "shear_x": (1, amount, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, amount, 1, 0),
        "shift": (1, 0, 30 * amount, 0, 1, -20 * amount),
    }[kind]
    rows, columns = (np.floor(o + 0.5).astype(int) for o in origins(matrix))
    inside = (rows >= 0) & (rows < 32) & (columns >= 0) & (columns < 40)
    expected = np.full((32, 40, 3), (1, 2, 3), "uint8")
    expected[inside] = photo()[rows[inside], columns[inside]]
    got = geometry.warp(IMAGE, matrix, (1, 2, 3)).numpy()

    assert (got != expected).any(-1).mean() < 0.01  # halves, to either side
    if kind == "shift":
        moved = geometry.move(IMAGE, -20 * amount, 30 * amount, (1, 2, 3))
        np.testing.assert_array_equal(expected, moved)
        gone = geometry.move(IMAGE, 0, np.sign(amount) * 99, (1, 2, 3))
        assert (gone.numpy() == (1, 2, 3)).all()
    ramp = tf.cast(
        tf.broadcast_to(tf.range(40)[None, :, None] * 4, (32, 40, 3)), "uint8"
    )
    smooth = geometry.warp_smooth(ramp, matrix, (1, 2, 3)).numpy().astype(int)
    whole = inside & (columns > 1) & (columns < 38) & (rows > 1) & (rows < 30)
    near = 4 * origins(matrix)[1][..., None]
    assert np.abs(smooth - near)[whole].max() <= 1
    assert (smooth[(rows < -1) | (rows > 33)] == (1, 2, 3)).all()


def test_a_turn_is_that_of_pillow():
    """About the same centre, to the same side."""
    turned = np.asarray(
        PILLOW.rotate(25, Image.Resampling.NEAREST, fillcolor=(9, 9, 9))
    )
    ours = geometry.warp(IMAGE, geometry.turn(IMAGE, 25), (9, 9, 9)).numpy()

    assert (ours != turned).any(-1).mean() < 0.02


def test_cutout_paints_a_square():
    """Of the given half side about a pixel, cut off at the border."""
    centres = set()
    for step in range(30):
        seed = tf.constant([step, 0], tf.int64)
        painted = (geometry.cutout(IMAGE, 5, seed, (0, 1, 2)) == (0, 1, 2)).numpy()
        rows, columns = np.nonzero(painted.all(-1))
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        middle = tf.random.stateless_uniform((2,), seed).numpy() * [32, 40]
        y, x = middle.astype(int)

        assert (max(y - 5, 0), min(y + 5, 32), max(x - 5, 0), min(x + 5, 40)) == box
        assert (box[1] - box[0]) * (box[3] - box[2]) == len(rows)
        centres.add((y, x))
    assert len(centres) > 25


def test_erasing_replaces_one_box_by_noise():
    """With the share and aspect of the paper; never without the coin."""
    image = tf.zeros((40, 60, 3))
    erase = tf.function(geometry.erase)
    shares, values = [], []
    for step in range(60):
        result = erase(image, tf.constant([step, 0], tf.int64), 1.0).numpy()
        rows, columns = np.nonzero(result.all(-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1

        assert height * width == len(rows)
        assert 0.27 < height / width < 3.7
        shares.append(len(rows) / 2400)
        values.append(result[rows, columns])
    assert 0.015 < min(shares) <= max(shares) < 0.35
    noise = np.concatenate(values)
    assert (0.0, 1.0) == (
        pytest.approx(noise.mean(), abs=0.03),
        pytest.approx(noise.std(), abs=0.03),
    )
    kept = erase(image, SEED, 0.0)
    np.testing.assert_array_equal(image, kept)


def branch(number, level, image=IMAGE):
    """One change of big_vision's RandAugment."""
    return policies._tensorflow_branches(image.shape, level / 10)[number](image, SEED)


def test_quirks_of_the_published_randaugment():
    """Thresholds wrap, contrast knows only the size, one bit is always kept."""
    values = photo().astype(int)
    for level in (0, 10, 20):
        np.testing.assert_array_equal(255 - values, branch(5, level))
    expected = np.where(values < 128, values, 255 - values)
    np.testing.assert_array_equal(expected, branch(5, 15))
    np.testing.assert_array_equal(values & 128, branch(4, 0))
    np.testing.assert_array_equal(values, branch(4, 20))
    np.testing.assert_array_equal(values & 0b11111100, branch(4, 15))
    large = tf.constant(photo(224, 224))
    grey = np.clip(196 + 1.9 * (photo(224, 224).astype(float) - 196), 0, 255)
    np.testing.assert_allclose(grey.astype(int), branch(7, 10, large), atol=1)


def test_every_change_of_every_policy_is_drawn_alike():
    """Sixteen of big_vision; fifteen of timm and, half of the time, none."""
    counted = [
        lambda i, s, k=k: tf.tensor_scatter_nd_add(
            i, [[k, 0, 0]], [tf.constant(1, i.dtype)]
        )
        for k in range(16)
    ]
    order = tf.constant([3, 15, 3])
    result = policies.run(tf.zeros((32, 40, 3), tf.uint8), counted, order, SEED)
    assert [(3, 2), (15, 1)] == [
        (k, int(n)) for k, n in enumerate(result[:, 0, 0]) if n
    ]
    assert 16 == len(policies._tensorflow_branches((8, 8, 3), 1.0))
    assert 15 == len(policies._timm_branches((0, 0, 0), 9.0, 0.5))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lite", "augment: .*got 'lite'. Did you mean 'light'"),
        ("medium3", "Did you mean 'medium"),
        ("flip|inception_crop", "one crop comes first.*got 'flip.inception_crop'"),
        ("randaug(2)|randaug(2,50)", "randaug takes .*0 to 40, got 'randaug.2,50.'"),
        ("inception_crop(a)", "takes these numbers: 0.001 to 1.*Write inception_crop"),
        ("flip(1)", "flip takes these numbers: none"),
        ("rand-m9-mstd0.5", "must be like 'rand-m9-mstd0.5-inc1'.*got 'rand-m9"),
        ("rand-m9-x3-inc1", "got 'rand-m9-x3-inc1'"),
        (3, "must be a name, got 3"),
    ],
)
def test_a_wrong_augmentation_is_explained(name, message):
    """The message has the text, the form and the nearest name."""
    with pytest.raises(ValueError, match=message):
        augment.get_preset(name)


def test_a_crop_larger_than_the_image_is_refused():
    """Before anything runs."""
    preset = augment.get_preset("resize_crop(30)")
    with pytest.raises(ValueError, match="32 px or more.*32 x 32 px, got 30. Write"):
        augment.draw(IMAGE, SEED, preset, NOTE)


@pytest.mark.parametrize(
    "name", [*augment.PRESETS, "resize_crop(40)", "resmall_crop(36)"]
)
def test_augmentation_is_a_function_of_the_seed(name):
    """The same seed repeats it in tf.data; another differs; the size is as asked."""
    preset = augment.get_preset(name)

    def augmented(step):
        image, numbers = augment.draw(IMAGE, tf.stack([step, 7]), preset, NOTE)
        return augment.change(image[None], numbers[None], preset)[0]

    rows = tf.data.Dataset.from_tensor_slices(tf.constant([3, 3, 4, 5, 6], tf.int64))
    first, second, *others = rows.map(augmented).as_numpy_iterator()

    views = () if preset.views == 1 else (preset.views,)
    assert (*views, 32, 32, 3) == first.shape
    np.testing.assert_array_equal(first, second)
    assert any((first != other).any() for other in others) == (name != "none")
    low, high = (-6, 6) if preset.erase else (0, 255)
    assert low <= first.min() < first.max() <= high


def test_presets_of_augreg_carry_their_mixup():
    """Layers, level and alpha of section 3."""
    assert [0.0, 0.2, 0.2, 0.5, 0.5, 0.8] == [
        augment.get_preset(name).mixup
        for name in ("light1", "light2", "medium1", "medium2", "strong1", "strong2")
    ]
    assert "randaug(2,15)" in augment.PRESETS["medium1"]


def test_digits_are_never_mirrored():
    """A mirrored digit is another sign, or none."""
    assert "flip" not in augment.PRESETS["digits"]
    assert "flip" in augment.PRESETS["light"]
    assert image_ops.affine is not None


def test_flip_mirrors_half_of_the_images():
    """Either the image or its mirror image."""
    flip = augment.get_preset("flip").changes[0]
    rows = [flip(IMAGE, tf.constant([k, 0], tf.int64), NOTE).numpy() for k in range(40)]
    mirrored = [np.array_equal(row, photo()[:, ::-1]) for row in rows]

    assert 10 < sum(mirrored) < 30
    assert 40 == sum(mirrored) + sum(np.array_equal(row, photo()) for row in rows)
