"""Augmentations by name: which random steps, in which order, how strong."""

import difflib
import functools
from typing import NamedTuple

import tensorflow as tf

from keras_vit.training.data import ops


class Preset(NamedTuple):
    """One row of PRESETS."""

    area: tuple | None  # share of the image a random crop keeps; None: no crop
    steps: tuple  # functions (image, seed) -> image, after resizing, 0..255


PRESETS = {
    "none": Preset(None, ()),
    "light": Preset((0.3, 1.0), (ops.flip,)),
    # Digits must not be mirrored.
    "digits": Preset(
        None,
        (functools.partial(ops.affine, shift=0.1, rotate=10.0, zoom=0.15, shear=0.15),),
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

    keras_cv is slow here (RandAugment took about 6 ms per 224 px image and
    core when measured) and draws from its own generator: the stream is then
    not a function of seed and step.

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


def random_image(image, seed, preset, preprocessing):
    """One training image from one record.

    Args:
        image: encoded string or uint8 pixels.
        seed: (2,) int64, decides everything.
        preset: `Preset`. preprocessing: `keras_vit.Preprocessing`.

    Returns:
        (h, w, 3) float32, 0 to 255. A crop is resized without antialiasing, as
        the reference pipelines do; without crop the image is prepared as for
        evaluation.
    """
    if preset.area is None:
        image = ops.prepare(ops.decode(image), preprocessing)
    else:
        image = ops.decode_crop(image, seed, preset.area)
        size = preprocessing.image_size
        image = ops.resize(image, size, preprocessing.interpolation)
    image = tf.ensure_shape(image, (*preprocessing.image_size, ops.CHANNELS))
    for number, step in enumerate(preset.steps, start=1):
        image = step(image, tf.random.experimental.stateless_fold_in(seed, number))
    return image
