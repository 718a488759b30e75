"""Calibration images from an array, batches or a folder, checked beforehand."""

import os

import numpy as np

from keras_vit.export.images.batches import Batches
from keras_vit.export.images.image_folder import read_folder
from keras_vit.export.images.pixel_range import image_range, is_outside

LEAST, MOST = 32, 128


def evenly_spaced(images, most):
    """Choose at most so many images, at equal distances.

    >>> evenly_spaced([1, 2, 3, 4, 5], 2)
    [1, 4]
    """
    return images[:: -(-len(images) // most)]


def read_calibration(images, reference, verbose=0):
    """Read at most 128 calibration images from an array, an iterable or a folder.

    Of an array, those at equal distances are taken, of an iterable the first: shuffle
    it when its images are sorted by class.

    Args:
        images: (N, H, W, C) array in the model's range, or any iterable of batches,
            (images, labels) pairs included, such as a `tf.data.Dataset`; or the path
            of a folder of image files, prepared as `model.preprocessing` says.
        reference: `Reference` of the model. verbose: 1 says what is left out of a
            folder.

    Returns:
        (N, H, W, C) float32, N from 32 to 128.

    Raises:
        TypeError, ValueError: for images of another shape or range, with NaN, or for
            fewer than 32.
        OSError: for a missing folder, or a file that is not an image.
    """
    if isinstance(images, (str, os.PathLike)):
        images = read_folder(images, reference.contract.note, MOST, verbose)
    if hasattr(images, "shape") and len(images) > MOST:
        images = images[np.linspace(0, len(images) - 1, MOST).round().astype(int)]
    batches, count = [], 0
    try:
        for batch, _ in Batches(images, None, reference.contract, judged=False):
            batches.append(batch)
            count += len(batch)
            if count >= MOST:
                break
    except (TypeError, ValueError) as err:
        raise type(err)(f"calibration: {err}") from err
    if count < LEAST:
        raise ValueError(
            f"calibration: must hold at least {LEAST} images, got {count}. Take "
            "training images of all classes."
        )
    images = np.concatenate(batches)[:MOST]
    _check_range(images, reference.contract)
    return images


def _check_range(images, contract):
    """Refuse constant images, and values out of range where the model states none."""
    low, high = float(images.min()), float(images.max())
    if low == high:
        raise ValueError(
            f"calibration: must hold photographs, got {low:g} in every pixel. Look how "
            "the images were read."
        )
    if is_outside(contract.mode, low, high):
        least, most = image_range(contract.mode, (low, high))
        raise ValueError(
            f"calibration: must lie between {least:.3g} and {most:.3g} where the model "
            f"does not say what it takes, got {low:.3g} to {high:.3g}. Say it: "
            "model.preprocessing = keras_vit.Preprocessing(image_size, mode='none')."
        )
