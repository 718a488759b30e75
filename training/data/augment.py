"""Augmentations by name: which random steps, in which order, how strong."""

import difflib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from keras_vit.training.data import ops


class Step(NamedTuple):
    """A random change of whole batches."""

    numbers: int  # how many random numbers it takes per image
    apply: Callable  # (images (B, h, w, 3), numbers (B, n) in -1..1) -> images


class Preset(NamedTuple):
    """One row of PRESETS."""

    area: tuple | None  # share of the image a random crop keeps; None: no crop
    steps: tuple = ()  # of Step, after resizing

    @property
    def numbers(self):
        """Random numbers that all steps take, per image."""
        return sum(step.numbers for step in self.steps)


PRESETS = {
    "none": Preset(None),
    "light": Preset((0.3, 1.0), (Step(1, ops.flip),)),
    # Digits must not be mirrored.
    "digits": Preset(
        None,
        (
            Step(6, partial(ops.affine, shift=0.1, rotate=15.0, zoom=0.2, shear=0.2)),
            Step(18, partial(ops.elastic, strength=0.07)),
        ),
    ),
}
KERAS_CV = {  # name after "keras_cv:" -> class in keras_cv.layers, its arguments
    "randaugment": ("RandAugment", {"value_range": (0, 255)}),
    "augmix": ("AugMix", {"value_range": (0, 255)}),
}


def get_preset(name):
    """Look an augmentation up.

    Args:
        name: a key of PRESETS, or "keras_cv:" and a key of KERAS_CV.

    Returns:
        `Preset` of what is done image by image; "light" for keras_cv, whose
        layer comes on top (see `keras_cv_layer`).

    Raises:
        ValueError: for an unknown name, with the nearest spelling.
    """
    known = [*PRESETS, *(f"keras_cv:{key}" for key in KERAS_CV)]
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"augment: must be one of {', '.join(known)}, got {name!r}. {hint}"
            "Use 'none' for no augmentation."
        )
    return PRESETS[name if name in PRESETS else "light"]


def keras_cv_layer(name, seed):
    """A batched keras_cv layer, or None when the name asks for none.

    keras_cv is slow (for a 224 px image on one CPU core RandAugment took 9 ms
    and AugMix 16 ms, where decoding and cropping take 2) and draws from its own
    generator: the stream is then not a function of seed and step.

    Args:
        name: augmentation. seed: for the layer.

    Raises:
        ImportError: when keras_cv is asked for and not installed.
    """
    if not name.startswith("keras_cv:"):
        return None
    try:
        import keras_cv
    except ImportError as err:
        raise ImportError(
            f"augment={name!r} needs keras_cv. Run: pip install keras-cv"
        ) from err
    layer, options = KERAS_CV[name.removeprefix("keras_cv:")]
    return getattr(keras_cv.layers, layer)(seed=seed, **options)


def draw(image, seed, preset, preprocessing):
    """What is done image by image: decode, crop, resize, and draw numbers.

    Args:
        image: encoded string or uint8 pixels.
        seed: (2,) int64, decides everything.
        preset: `Preset`. preprocessing: `keras_vit.Preprocessing`.

    Returns:
        (h, w, 3) float32, 0 to 255, and (n,) float32 in -1..1 for `change`. A
        crop is resized without antialiasing, as the reference pipelines do;
        without crop the image is prepared as for evaluation.
    """
    size = preprocessing.image_size
    if preset.area is None:
        image = ops.prepare(ops.decode(image), preprocessing)
    else:
        image = ops.decode_crop(image, seed, preset.area)
        image = ops.resize(image, size, preprocessing.interpolation)
    image = tf.ensure_shape(image, (*size, ops.CHANNELS))
    other = tf.random.experimental.stateless_fold_in(seed, 1)
    return image, tf.random.stateless_uniform((preset.numbers,), other, -1.0, 1.0)


def change(images, numbers, preset):
    """What is done to whole batches.

    Args:
        images: (B, h, w, 3) float32, 0 to 255. numbers: (B, n) from `draw`.
        preset: `Preset`.

    Returns:
        (B, h, w, 3) float32, 0 to 255.
    """
    first = 0
    for step in preset.steps:
        images = step.apply(images, numbers[:, first : first + step.numbers])
        first += step.numbers
    return images
