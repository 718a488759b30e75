"""Targets that live in the image, moved as an augmentation moves the image.

A step is a function of a seed, so the same step with the same seed finds the same
places in the target. On the way a target is an image of three bytes per pixel, 0 for
what comes from outside: every step that takes the nearest pixel then serves for both.
"""

import dataclasses

import tensorflow as tf

from keras_vit.training.data import augment as augmentation
from keras_vit.training.data import image_ops

LIMIT = 2**23  # labels lie below; three bytes hold them


class Left:
    """Targets that do not live in the image stay as they are."""

    def draw(self, target, seed):
        """See `Moved.draw`."""
        return target

    def change(self, targets, numbers):
        """See `Moved.change`."""
        return targets

    def prepare(self, target):
        """See `Moved.prepare`."""
        return target


class Moved:
    """Moves targets as one augmentation moves images.

    Args:
        task: `Task`. augment: name of the augmentation.
        preprocessing: `keras_vit.Preprocessing` of the images.
    """

    def __init__(self, task, augment, preprocessing):
        self._outside = task.outside
        self._preset = augmentation.target_preset(augment)
        self._note = dataclasses.replace(
            preprocessing, interpolation="nearest", antialias=False, rounding="none"
        )

    def draw(self, target, seed):
        """What `augment.draw` does image by image.

        Args:
            target: (H, W) int32, of the image as it is stored. seed: of the image.

        Returns:
            (h, w, 3) bytes for `change`.
        """
        image = self._as_image(target)
        return augmentation.draw(image, seed, self._preset, self._note)[0]

    def change(self, targets, numbers):
        """What `augment.change` does to whole batches: -> (B, h, w) int32."""
        moved = augmentation.change(targets, numbers, self._preset)
        return self._as_target(moved)

    def prepare(self, target):
        """A target (H, W) as its image is prepared without chance: (h, w) int32."""
        return self._as_target(image_ops.prepare(self._as_image(target), self._note))

    def _as_image(self, target):
        code = tf.cast(target, tf.int32) - self._outside
        low = [tf.bitwise.bitwise_and(code // 256**k, 255) for k in range(3)]
        return tf.cast(tf.stack(low, axis=-1), tf.uint8)

    def _as_target(self, image):
        low, middle, high = tf.unstack(tf.cast(image, tf.int32), axis=-1)
        code = low + 256 * middle + 65536 * high
        code = tf.where(code < LIMIT, code, code - 2 * LIMIT)  # below 0
        return code + self._outside


def check(task, augment, mix):
    """Refuse what changes images and cannot change targets that live in them.

    Args:
        task: `Task`. augment: name. mix: `Mix`.

    Raises:
        ValueError: for mixed images, two views, and layers of keras_cv.
    """
    if mix:
        raise ValueError(
            f"mixup, cutmix: do not go with the task {task.name!r}, whose targets live "
            f"in the image, got augment={augment!r} with mixup={mix.mixup} and cutmix="
            f"{mix.cutmix}. Pass mixup=0 and cutmix=0."
        )
    if augmentation.get_preset(augment).others or augment.startswith("keras_cv:"):
        raise ValueError(
            f"augment: must be steps that move targets too for the task {task.name!r}, "
            f"got {augment!r}. Use 'light', for example."
        )
