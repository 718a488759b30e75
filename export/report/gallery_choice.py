"""A sample of a stream of images, balanced over classes."""

import bisect
import collections


class BalancedSample:
    """A few of many images, spread evenly over their classes.

    Every class gives its first image before any gives its second. Where there are more
    classes than places, those are taken whose numbers lie farthest apart: 0, then the
    middle, then the quarters. What is kept depends on the images alone, and no more
    are ever held than shall be kept.

    Args:
        count: how many images. classes: how many there are.
    """

    def __init__(self, count, classes):
        self._count, self._bits = count, max(1, (classes - 1).bit_length())
        self._rounds = collections.Counter()
        self._rows = []

    def __len__(self):
        return len(self._rows)

    def add(self, group, row):
        """Offer one image. group: its class. row: what is kept of it."""
        key = self._rounds[group], _apart(group, self._bits)
        self._rounds[group] += 1
        if len(self._rows) == self._count and key > self._rows[-1][0]:
            return
        bisect.insort(self._rows, (key, group, row), key=lambda entry: entry[0])
        del self._rows[self._count :]

    def take(self, most, shown=()):
        """Take the first images, of new classes before the others.

        Args:
            most: how many. shown: classes of images that are shown already.

        Returns:
            [(class, row)], in the order of the classes.
        """
        before = collections.Counter(shown)
        rows = sorted(self._rows, key=lambda r: (r[0][0] + before[r[1]], r[0][1]))
        rows = sorted(rows[:most], key=lambda r: (r[1], r[0]))
        return [(group, row) for _, group, row in rows]


def _apart(number, bits):
    """Bit-reversed rank, which spreads numbers of so many bits evenly.

    >>> sorted(range(8), key=lambda k: _apart(k, 3))
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    return int(f"{number:0{bits}b}"[::-1], 2)
