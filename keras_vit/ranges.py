"""Value ranges of images: (pixel * scale - mean) / std, per channel.

Named ranges and free numbers, without Keras: reading a header must not import it.
"""

import math
from typing import NamedTuple

import numpy as np

# mode -> (mean, std) of the pixel values, on a scale of 0 to 1, per channel.
RANGES = {
    "google": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "none": None,
}
CUSTOM = "custom"
PIXEL = 1 / 255  # the usual scale
# Numbers this close are the same range, written with fewer digits.
NEAR = 1e-4


class Range(NamedTuple):
    """A custom range: (pixel / 255 - mean) / std; rows of 1 or C numbers."""

    mean: tuple
    std: tuple


def numbers(mode):
    """(mean, std) on a scale of 0 to 1; None for pixels without normalisation.

    Args:
        mode: a key of RANGES, or a `Range`.
    """
    return mode if isinstance(mode, Range) else RANGES[mode]


def keywords(mode):
    """A range as arguments of `preprocess_input`, for messages.

    >>> keywords("google"), keywords(Range((0.4,), (0.3,)))
    ("mode='google'", 'mean=(0.4,), std=(0.3,)')
    """
    if not isinstance(mode, Range):
        return f"mode={mode!r}"
    mean, std = (tuple(float(f"{value:.6g}") for value in row) for row in mode)
    return f"mean={mean}, std={std}"


def in_channels(mode, channels):
    """(mean, std) as rows of a number of channels, or None.

    Raises:
        ValueError: for a range of another number of channels.

    >>> in_channels("google", 1)
    ((0.5,), (0.5,))
    """
    rows = numbers(mode)
    if rows is None:
        return None
    alike = len({*rows[0]}) == len({*rows[1]}) == 1
    if alike:
        return tuple((row[0],) * channels for row in rows)
    lengths = {len(row) for row in rows} - {1}
    if lengths != {channels}:
        raise ValueError(
            f"images: have {channels} channels, got a range of {max(lengths)}, "
            f"{keywords(mode)}. Use mode='google', or mean and std of {channels} "
            "numbers."
        )
    return tuple(row * channels if len(row) == 1 else row for row in rows)


def pixel_statistics(mode, channels=3):
    """(mean, std), (C,) float32 arrays on a scale of 0 to 255; 0 and 1 for "none".

    >>> pixel_statistics("google", 1)
    (array([127.5], dtype=float32), array([127.5], dtype=float32))
    """
    rows = in_channels(mode, channels)
    rows = ((0.0,) * channels, (PIXEL,) * channels) if rows is None else rows
    return tuple(np.float32([255.0 * value for value in row]) for row in rows)


def averaged(mode):
    """The range for any number of channels, as timm has it: the mean of each.

    >>> averaged(Range((0.4, 0.5), (0.2, 0.4)))
    Range(mean=(0.45,), std=(0.3,))
    """
    rows = numbers(mode)
    if rows is None or mode == "google":
        return mode
    return Range(*((round(math.fsum(row) / len(row), 9),) for row in rows))


def settled(mode, mean, std, scale):
    """Consistent fields of a `Preprocessing`: a named range, or numbers.

    Args:
        mode: a key of RANGES, "custom", or None. mean, std, scale: a number, one per
            channel, or None; scale as in transformers' rescale_factor.

    Returns:
        (mode, mean, std, scale); the numbers of a named range are None.

    Raises:
        TypeError, ValueError: for a name beside numbers, or no usable numbers.
    """
    given = {"mean": mean, "std": std, "scale": scale}
    given = {name: _row(name, v) for name, v in given.items() if v is not None}
    if not given:
        if mode == CUSTOM:
            raise ValueError(
                "mode: 'custom' needs numbers, got none. Pass mean and std, on a "
                "scale of 0 to 1."
            )
        return "google" if mode is None else mode, None, None, None
    if mode not in (None, CUSTOM):
        raise ValueError(
            f"mode: a name has its own mean and std, got mode={mode!r} and "
            f"{', '.join(f'{k}={v}' for k, v in given.items())}. Leave one out."
        )
    row = {"mean": (0.0,), "std": (1.0,), "scale": (PIXEL,)} | given
    lengths = {len(values) for values in row.values()} - {1}
    if len(lengths) > 1:
        raise ValueError(
            f"mean, std, scale: must have one number, or one per channel, got "
            f"{', '.join(f'{k}={v}' for k, v in given.items())}."
        )
    name = name_of(custom(**row))
    if name is not None:
        return name, None, None, None
    scale = None if row["scale"] == (PIXEL,) else row["scale"]
    return CUSTOM, row["mean"], row["std"], scale


def custom(mean, std, scale):
    """Make the `Range` of rows as `settled` gives them."""
    size = max(len(row) for row in (mean, std, scale or (PIXEL,)))
    rows = (mean, std, scale or (PIXEL,))
    wide = [row * size if len(row) == 1 else row for row in rows]
    levels = [255.0 * value for value in wide[2]]
    return Range(
        *(
            tuple(v / s for v, s in zip(row, levels, strict=True)) if scale else row
            for row in wide[:2]
        )
    )


def name_of(wanted):
    """The name in RANGES with these numbers, or None."""
    for name, rows in RANGES.items():
        ours = rows or ((0.0,) * 3, (PIXEL,) * 3)
        if all(map(_close, ours, wanted)):
            return name
    return None


def _close(ours, theirs):
    theirs = theirs * 3 if len(theirs) == 1 else theirs
    return len(theirs) == 3 and all(
        math.isclose(a, b, rel_tol=NEAR, abs_tol=NEAR / 10)
        for a, b in zip(ours, theirs, strict=True)
    )


def _row(name, value):
    """A number, or a sequence of them, as a tuple of floats."""
    if isinstance(value, str | bytes | bool):
        raise TypeError(f"{name}: must be a number or one per channel, got {value!r}.")
    try:
        row = tuple(map(float, value if hasattr(value, "__len__") else (value,)))
    except (TypeError, ValueError) as err:
        raise TypeError(
            f"{name}: must be a number or one per channel, got {value!r}."
        ) from err
    least = -math.inf if name == "mean" else 0.0
    if not row or not all(math.isfinite(v) and v > least for v in row):
        rule = "finite" if name == "mean" else "above 0"
        raise ValueError(f"{name}: must be {rule}, got {value!r}.")
    return row
