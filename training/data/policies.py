"""Augmentation policies: which colour and geometric changes are drawn, how strong.

Each policy is a list of branches, functions of (image, seed), and an order in which
some of them are run: only what is drawn is computed.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_vit.training.data import color, geometry

GREY = (128, 128, 128)


def _same(image, seed):
    return image


class Look(NamedTuple):
    """How the branches of a policy treat what they are given.

    Args:
        colour: of a change of colour, the function that is run.
        smooth: a warp like `geometry.warp_smooth`.
        fill: (3,) levels of what comes from outside; None for those of the policy.
    """

    colour: Callable
    smooth: Callable
    fill: tuple | None


IMAGE = Look(lambda change: change, geometry.warp_smooth, None)
# Places alone, each from the nearest: for targets that live in the image.
PLACES = Look(lambda change: _same, geometry.warp, (0, 0, 0))


def run(image, branches, order, seed):
    """Run branches one after another.

    Args:
        image: (h, w, 3) uint8. branches: functions (image, seed) -> image.
        order: (n,) int32, numbers of branches. seed: (2,) int64.
    """
    numbers = tf.unstack(order)
    keys = [tf.random.fold_in(seed, k) for k in range(len(numbers))]
    if tf.executing_eagerly():
        for number, key in zip(numbers, keys, strict=True):
            image = branches[int(number)](image, key)
        return image
    # A function that is called, not `tf.switch_case`: that becomes part of the graph
    # and passes through all branches, which took longer than the one that is drawn.
    given = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (image, keys[0])]
    calls = [
        tf.function(branch, autograph=False).get_concrete_function(*given)
        for branch in branches
    ]
    for number, key in zip(numbers, keys, strict=True):
        (image,) = tf.raw_ops.StatelessCase(
            branch_index=number, input=[image, key], Tout=[image.dtype], branches=calls
        )
        image = tf.ensure_shape(image, given[0].shape)
    return image


def either_sign(value, seed):
    """The value or its negative."""
    positive = tf.random.stateless_uniform((), seed) < 0.5
    return tf.where(positive, value, -value)


def randaug(image, seed, layers, level, look=IMAGE):
    """RandAugment as the ViT papers have it, with the quirks of the code they ran.

    Every change is always made; levels may exceed 10. Thresholds of solarizing are
    compared as bytes and wrap at 256, so that levels 0, 10 and 20 invert everything;
    contrast is relative to the number of pixels / 256, not to the mean; posterizing
    never drops the highest bit.

    Args:
        image: (h, w, 3) uint8. seed: (2,) int64.
        layers: l, changes per image. level: m, their strength. look: `Look`.

    Source:
        big_vision, pp/autoaugment.py (that of TPU EfficientNet).
    """
    branches = _tensorflow_branches(image.shape, level / 10.0, look)
    first, second = tf.unstack(tf.random.split(seed, 2))
    order = tf.random.stateless_uniform(
        (int(layers),), first, 0, len(branches), tf.int32
    )
    return run(image, branches, order, second)


def _tensorflow_branches(shape, share, look=IMAGE):
    colour, _, fill = look
    fill = GREY if fill is None else fill
    pixels = shape[0] * shape[1]
    enhance = 1.8 * share + 0.1
    bits = min(max(int(4 * share), 1), 8)

    def warped(matrix):
        return lambda i, s: geometry.warp(i, matrix(i, s), fill)

    def slant(s):
        return either_sign(0.3 * share, s)

    def shift(s):
        return either_sign(100.0 * share, s)

    return [
        colour(lambda i, s: color.autocontrast(i)),
        colour(lambda i, s: color.equalize(i)),
        colour(lambda i, s: color.invert(i)),
        warped(lambda i, s: geometry.turn(i, either_sign(30.0 * share, s))),
        colour(lambda i, s: color.posterize(i, bits)),
        colour(lambda i, s: color.solarize(i, int(256 * share) % 256)),
        colour(lambda i, s: color.color(i, enhance)),
        colour(lambda i, s: color.contrast(i, enhance, min(pixels // 256, 255))),
        colour(lambda i, s: color.brightness(i, enhance)),
        colour(lambda i, s: color.sharpness(i, enhance)),
        warped(lambda i, s: (1, slant(s), 0, 0, 1, 0)),
        warped(lambda i, s: (1, 0, 0, slant(s), 1, 0)),
        lambda i, s: geometry.move(i, 0.0, shift(s), fill),
        lambda i, s: geometry.move(i, shift(s), 0.0, fill),
        colour(lambda i, s: geometry.cutout(i, int(40 * share), s, GREY)),
        colour(lambda i, s: color.solarize_add(i, int(110 * share))),
    ]


def read_timm(name):
    """Numbers of a timm name like "rand-m9-mstd0.5-inc1".

    Returns:
        Dict of m (strength), mstd (its spread), n (changes), p (of each).

    Raises:
        ValueError: for another form.

    >>> read_timm("rand-m9-mstd0.5-inc1")
    {'m': 9.0, 'mstd': 0.5, 'n': 2, 'p': 0.5}
    """
    found = {"m": 10.0, "mstd": 0.0, "n": 2, "p": 0.5}
    parts = name.split("-")
    pairs = [re.fullmatch(r"(mstd|inc|m|n|p)(\d+(?:\.\d+)?)", p) for p in parts[1:]]
    given = {pair[1]: float(pair[2]) for pair in pairs if pair}
    if parts[0] != "rand" or None in pairs or given.pop("inc", 0) != 1:
        raise ValueError(
            "augment: a timm RandAugment must be like 'rand-m9-mstd0.5-inc1' with the "
            f"parts m, mstd, n, p and inc1, got {name!r}. Without inc1, 'randaug(2,9)' "
            "is near."
        )
    return {key: type(found[key])(given.get(key, found[key])) for key in found}


def timm_randaug(image, seed, fill, m=9.0, mstd=0.5, n=2, p=0.5, look=IMAGE):
    """RandAugment as DeiT and MAE fine-tuning have it: each with probability `p`.

    Places between pixels are bilinear here, bicubic in timm.

    Args:
        image: (h, w, 3) uint8. seed: (2,) int64.
        fill: (3,) levels of what comes from outside.
        m: strength, 0..10. mstd: its standard deviation, drawn for each change.
        n: changes per image. p: probability that a drawn change is made.
        look: `Look`.

    Source:
        timm, data/auto_augment.py, the list of increasing transforms.
    """
    branches = _timm_branches(fill, m, mstd, look)
    draws, coins, rest = tf.unstack(tf.random.split(seed, 3))
    order = tf.random.stateless_uniform((n,), draws, 0, len(branches), tf.int32)
    made = tf.random.stateless_uniform((n,), coins) < p
    order = tf.where(made, order, len(branches))
    return run(image, [*branches, lambda i, s: i], order, rest)


def _timm_branches(fill, m, mstd, look=IMAGE):
    colour, smooth = look[:2]
    fill = fill if look.fill is None else look.fill

    def share(s):
        """Strength 0..1 of one change."""
        noise = tf.random.stateless_normal((), tf.random.fold_in(s, 1))
        return tf.clip_by_value(m + mstd * noise, 0.0, 10.0) / 10.0

    def signed(s):
        return either_sign(share(s), s)

    def enhance(s):
        return tf.maximum(1.0 + 0.9 * signed(s), 0.1)

    def steps(count, s):
        return tf.cast(count * share(s) + 1e-4, tf.int32)

    def warped(matrix):
        return lambda i, s: smooth(i, matrix(i, signed(s)), fill)

    return [
        colour(lambda i, s: color.autocontrast(i)),
        colour(lambda i, s: color.equalize(i)),
        colour(lambda i, s: color.invert(i)),
        warped(lambda i, x: geometry.turn(i, 30.0 * x)),
        colour(lambda i, s: color.posterize(i, 4 - steps(4, s))),
        colour(lambda i, s: color.solarize(i, 256 - steps(256, s))),
        colour(lambda i, s: color.solarize_add(i, steps(110, s))),
        colour(lambda i, s: color.color(i, enhance(s))),
        colour(lambda i, s: color.contrast(i, enhance(s))),
        colour(lambda i, s: color.brightness(i, enhance(s))),
        colour(lambda i, s: color.sharpness(i, enhance(s))),
        # Pillow's coordinates are those of pixel corners: half a slant more.
        warped(lambda i, x: (1, 0.3 * x, 0.15 * x, 0, 1, 0)),
        warped(lambda i, x: (1, 0, 0, 0.3 * x, 1, 0.15 * x)),
        warped(lambda i, x: (1, 0, 0.45 * x * i.shape[1], 0, 1, 0)),
        warped(lambda i, x: (1, 0, 0, 0, 1, 0.45 * x * i.shape[0])),
    ]


def three_augment(image, seed):
    """Grey, solarized or blurred: one of the three, always.

    Source:
        Touvron et al. 2022, arXiv:2204.07118, section 3 (DeiT-III).
    """

    def blurred(i, s):
        return color.gaussian_blur(i, tf.random.stateless_uniform((), s, 0.1, 2.0))

    branches = [
        lambda i, s: color.grayscale(i),
        lambda i, s: color.solarize(i, 128),
        blurred,
    ]
    first, second = tf.unstack(tf.random.split(seed, 2))
    order = tf.random.stateless_uniform((1,), first, 0, len(branches), tf.int32)
    return run(image, branches, order, second)


def grey(image, seed):
    """The grey image."""
    return color.grayscale(image)


def blur(image, seed):
    """Smoothed by a bell curve of 0.1 to 2 px."""
    sigma = tf.random.stateless_uniform((), seed, 0.1, 2.0)
    return color.gaussian_blur(image, sigma)


def solarized(image, seed):
    """What is light becomes dark."""
    return color.solarize(image, 128)


def sometimes(change, image, seed, probability):
    """Make a change, a function of (image, seed), with a probability."""
    coin, rest = tf.unstack(tf.random.split(seed, 2))
    made = tf.random.stateless_uniform((), coin) < probability
    return tf.cond(made, lambda: change(image, rest), lambda: image)


def color_jitter(image, seed, brightness, contrast, saturation, hue, probability):
    """All four changes of colour, in random order, or none of them.

    Args:
        image: (h, w, 3) uint8. seed: (2,) int64.
        brightness, contrast, saturation: s, each for factors from 1 - s to 1 + s.
        hue: largest turn of the colour circle, 0..0.5. probability: of all together.

    Source:
        Chen et al. 2020, arXiv:2002.05709 (SimCLR), appendix A; torchvision's
        ColorJitter.
    """

    def by(change, strength):
        def branch(i, s):
            low, high = 1.0 - strength, 1.0 + strength
            return change(i, tf.random.stateless_uniform((), s, low, high))

        return branch

    def turned(i, s):
        turn = tf.random.stateless_uniform((), s, -hue, hue)
        return tf.image.adjust_hue(i, turn)

    branches = [
        by(color.brightness, brightness),
        by(color.contrast, contrast),
        by(color.color, saturation),
        turned,
    ]

    def changed(i, s):
        return _in_random_order(i, branches, s)

    return sometimes(changed, image, seed, probability)


def _in_random_order(image, branches, seed):
    """Run every branch once."""
    first, second = tf.unstack(tf.random.split(seed, 2))
    order = tf.argsort(tf.random.stateless_uniform((len(branches),), first))
    return run(image, branches, order, second)


def jitter(image, seed, strength):
    """Brightness, contrast and colour, each by 1 - strength to 1 + strength.

    The three come in random order, as in torchvision's ColorJitter.
    """

    def factor(s):
        return tf.random.stateless_uniform((), s, 1.0 - strength, 1.0 + strength)

    branches = [
        lambda i, s: color.brightness(i, factor(s)),
        lambda i, s: color.contrast(i, factor(s)),
        lambda i, s: color.color(i, factor(s)),
    ]
    return _in_random_order(image, branches, seed)
