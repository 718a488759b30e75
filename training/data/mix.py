"""Mixup and cutmix: two images and their labels become one.

A mix is a function of the whole batch of a step, on however many devices: `shares`
says which examples a worker must read to make its own part of it.
"""

import dataclasses
import numbers
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_vit.choices import check_choice

SALT = 7  # sets the random numbers of a batch apart from those of its images


class Rule(NamedTuple):
    """How a family of models mixes."""

    fold: bool  # whether the own image always keeps the larger part
    partner: str  # "next": the image before, in a ring; "mirror": batch reversed
    cutmix: bool  # whether the family also pastes boxes
    source: str


RULES = {  # fmt: off
    "big_vision": Rule(True, "next", False, "big_vision, utils.py get_mixup"),
    "timm": Rule(False, "mirror", True, "timm, data/mixup.py, mode batch"),
    "bit": Rule(False, "mirror", False, "big_transfer, bit_tf2/train.py"),
}  # fmt: on


@dataclasses.dataclass(frozen=True)
class Mix:
    """What is mixed, and by whose rule; each batch draws one share for all images.

    Args:
        mixup: alpha of the Beta distribution that the share is drawn from; 0 for
            no mixup, None for what belongs to the name of the augmentation.
        cutmix: the same for cutmix. With both, every batch draws one at random.
        rule: a key of RULES. "big_vision": the own image keeps max(share,
            1 - share), the other one is the image before. "timm" and "bit": the
            share as it is drawn, the other image is that of the reversed batch;
            "timm" knows cutmix.

    Raises:
        ValueError: for a negative alpha, an unknown rule, or a cutmix that the
            rule does not know.

    Source:
        Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899.
    """

    mixup: float | None = None
    cutmix: float = 0.0
    rule: str = "big_vision"

    def __post_init__(self):
        for name in ("mixup", "cutmix"):
            value = getattr(self, name)
            if value is None and name == "mixup":
                continue
            if not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
                raise ValueError(
                    f"{name}: must be a number of 0 or more, got {value!r}. "
                    f"Pass {name}=0 for none."
                )
        check_choice("mix_rule", self.rule, RULES)
        if self.cutmix and not RULES[self.rule].cutmix:
            raise ValueError(
                f"cutmix: mix_rule={self.rule!r} knows none, got cutmix={self.cutmix}. "
                "Pass mix_rule='timm', or cutmix=0."
            )

    def __bool__(self):
        return bool(self.mixup or self.cutmix)

    def partners(self, batch_size):
        """For each place in a batch the place of the other image: (B,) int."""
        places = np.arange(batch_size)
        if RULES[self.rule].partner == "mirror":
            return places[::-1]
        return np.roll(places, 1)

    def __call__(self, images, others, targets, other_targets, seed):
        """Mix a batch, or a worker's part of it.

        Args:
            images: (B, h, w, C) float32. others: the images they are mixed with.
            targets: (B, K) float32. other_targets: of `others`.
            seed: (2,) int64, of this batch.

        Returns:
            Images and targets, mixed.
        """
        seeds = tf.random.split(tf.random.fold_in(seed, SALT), 3)
        if not self.cutmix:
            return self._blend(images, others, targets, other_targets, seeds)
        if not self.mixup:
            return self._paste(images, others, targets, other_targets, seeds)
        return tf.cond(
            tf.random.stateless_uniform((), seeds[2]) < 0.5,
            lambda: self._paste(images, others, targets, other_targets, seeds),
            lambda: self._blend(images, others, targets, other_targets, seeds),
        )

    def _blend(self, images, others, targets, other_targets, seeds):
        share = draw_beta(self.mixup, seeds[0])
        if RULES[self.rule].fold:
            share = tf.maximum(share, 1.0 - share)
        return (
            images * share + others * (1.0 - share),
            targets * share + other_targets * (1.0 - share),
        )

    def _paste(self, images, others, targets, other_targets, seeds):
        height, width = images.shape[1:3]
        inside, area = draw_box(
            height, width, draw_beta(self.cutmix, seeds[0]), seeds[1]
        )
        share = 1.0 - area
        return (
            tf.where(inside[None, ..., None], others, images),
            targets * share + other_targets * area,
        )


def draw_beta(alpha, seed):
    """One number from Beta(alpha, alpha), scalar float32."""
    # float64: two gammas of a small alpha may both be 0 in float32.
    pair = tf.random.stateless_gamma((2,), seed, alpha, dtype=tf.float64)
    return tf.cast(pair[0] / tf.reduce_sum(pair), tf.float32)


def draw_box(height, width, share, seed):
    """A box that leaves about `share` of the picture, cut off at the borders.

    Args:
        height, width: of the picture, px. share: 0..1. seed: (2,) int64.

    Returns:
        (H, W) bool, true inside, and the area of the box as a share of the picture.
    """
    side = tf.sqrt(1.0 - share)
    centres = tf.random.stateless_uniform((2,), seed)
    spans = []
    for size, centre in zip((height, width), tf.unstack(centres), strict=True):
        half = tf.cast(size * side, tf.int32) // 2
        middle = tf.cast(size * centre, tf.int32)
        places = tf.range(size)
        spans.append((places >= middle - half) & (places < middle + half))
    inside = spans[0][:, None] & spans[1][None]
    return inside, tf.reduce_mean(tf.cast(inside, tf.float32))


def shares(batch_size, partners, worker, workers):
    """Which examples of a global batch a worker reads, and how it pairs them.

    Each worker owns as many places as the others. Where partners are mirrored it owns
    both halves of each pair, so that nothing is read twice; in a ring it reads one
    image more than it owns.

    Args:
        batch_size: B, a multiple of 2 * workers where partners are mirrored.
        partners: (B,) from `Mix.partners`, or None without a mix.
        worker: 0 .. workers - 1.

    Returns:
        Places that are read, in rising order, and among these the numbers of
        those that are owned and of their partners.

    >>> [part.tolist() for part in shares(8, np.arange(8)[::-1], 1, 2)]
    [[2, 3, 4, 5], [0, 1, 2, 3], [3, 2, 1, 0]]
    >>> [part.tolist() for part in shares(4, np.roll(np.arange(4), 1), 1, 2)]
    [[1, 2, 3], [1, 2], [0, 1]]
    """
    places = np.arange(batch_size)
    own = np.array_split(places, workers)[worker]
    if partners is None:
        return own, np.arange(len(own)), np.arange(len(own))
    if (partners == places[::-1]).all() and batch_size % (2 * workers) == 0:
        first = np.array_split(places[: batch_size // 2], workers)[worker]
        own = np.concatenate([first, partners[first][::-1]])
    read = np.union1d(own, partners[own])
    return read, np.searchsorted(read, own), np.searchsorted(read, partners[own])
