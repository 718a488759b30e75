"""Check of the pixel range: images preprocessed for another model give no error.

Files made or judged with images of another range look right, because the file and the
Keras model are wrong together.
"""

import numpy as np

from keras_vit import ranges
from keras_vit.export.io.io_spec import contract_of

# Values may lie outside the model's range by this share of it: resizing overshoots.
SLACK = 0.15
# Ranges of common wrong preprocessing, such as / 255 alone. A set of photographs whose
# values all stay inside one of these was prepared for another model.
OTHERS = ((0.0, 1.0), (-0.5, 0.5), (-1.0, 1.0))
# The same, for those.
NEAR = 0.05
# Fewer images may all be bright, and many need not all be read to know.
FEW, ENOUGH = 8, 32


def check_range(model, images):
    """Check that images have the value range of a model.

    Args:
        model: Keras model that takes images. images: (N, H, W, C) float32.

    Raises:
        ValueError: as `PixelRange`.
    """
    seen = PixelRange(contract_of(model, dynamic_batch=True))
    seen.add(images)
    seen.close()


def image_range(mode, seen):
    """(low, high) of the image by its range, or `seen` in the images."""
    rows = ranges.numbers(mode)
    if rows is None:
        return seen
    mean, std = (np.array(row) for row in rows)
    return float((-mean / std).min()), float(((1 - mean) / std).max())


def is_outside(mode, low, high):
    """Whether values exceed the range of a mode by more than resizing does."""
    least, most = image_range(mode, (low, high))
    slack = SLACK * (most - least)
    return low < least - slack or high > most + slack


def mistaken_for(mode, low, high):
    """The (low, high) of another, narrower range that holds all values, or None.

    Only of ranges narrower than the mode's own; one colour tells nothing.

    >>> mistaken_for("google", 0.0, 1.0), mistaken_for("google", -1.0, 0.2)
    ((0.0, 1.0), None)
    """
    least, most = image_range(mode, (low, high))
    for start, end in OTHERS:
        slack = NEAR * (end - start)
        inside = low >= start - slack and high <= end + slack
        if low < high and inside and end - start < 0.9 * (most - least):
            return start, end
    return None


class PixelRange:
    """Running minimum and maximum of images, compared with the model's range.

    Args:
        contract: `Contract` of the model. What it only guesses is not judged.
    """

    def __init__(self, contract):
        self._mode, self._stated = contract.mode, contract.stated
        self._count, self._low, self._high = 0, np.inf, -np.inf

    def add(self, images):
        """Add images to the minimum and maximum.

        Args:
            images: (B, H, W, C) float32, finite.

        Raises:
            ValueError: when they lie outside the model's range, or enough of them
                in a narrower one.
        """
        before, self._count = self._count, self._count + len(images)
        self._low = min(self._low, float(images.min()))
        self._high = max(self._high, float(images.max()))
        if self._stated and is_outside(self._mode, self._low, self._high):
            raise ValueError(self._wrong())
        if before < ENOUGH <= self._count:
            self.close()

    def close(self):
        """Check the whole range, after the last image.

        Raises:
            ValueError: when all lie in a narrower range than the model's.
        """
        if not self._stated or self._count < FEW:
            return
        other = mistaken_for(self._mode, self._low, self._high)
        if other is not None:
            raise ValueError(
                f"{self._wrong()} All values fit the range {other[0]:g} to "
                f"{other[1]:g} of another preprocessing."
            )

    def _wrong(self):
        low, high = image_range(self._mode, (self._low, self._high))
        return (
            f"images: must be in the range of the model, {low:.3g} to {high:.3g}, got "
            f"{self._low:.3g} to {self._high:.3g}. Use keras_vit.preprocess_input("
            f"images, {ranges.keywords(self._mode)}) on pixels of 0 to 255."
        )
