"""Confidence intervals of accuracy, and of its change on the same images."""

import dataclasses
import math

Z = 1.959964  # of 95%


def wilson(hits, count):
    """Wilson interval of a share of counted images, 95%.

    Args:
        hits: images that count. count: all images, 1 or more.

    Returns:
        (low, high), shares 0..1.

    Source:
        Wilson 1927, Probable inference, the law of succession, and statistical
        inference, J. Am. Stat. Assoc. 22, the score interval.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, more = hits / count, Z**2 / count
    middle = (share + more / 2) / (1 + more)
    half = Z * math.sqrt(share * (1 - share) / count + more / (4 * count)) / (1 + more)
    # Rounding may miss the ends of 0 and of all images, which are exact.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == count else min(1.0, middle + half)


def percents(hits, count):
    """Wilson interval in percent: (low, high), or None for no images."""
    return tuple(100.0 * end for end in wilson(hits, count)) if count else None


def widest(count):
    """Half-width in points of the widest interval of so many images, 95%.

    >>> round(widest(1000), 1)
    3.1
    """
    low, high = wilson(count / 2, count)
    return 50.0 * (high - low)


def shown(interval):
    """Format an interval in percent.

    >>> shown((96.756, 99.111)), shown((0.0, 1.2)), shown(None)
    ('96.8 to 99.1', '0.0 to 1.2', '')
    """
    return "" if interval is None else "{:.1f} to {:.1f}".format(*interval)


@dataclasses.dataclass(frozen=True)
class Change:
    """Change of top-1 when another model classifies the same images.

    Args:
        images: with a label. changed: those with another answer.
        better: wrong before, and no longer. worse: the other way round.
        unit: what is counted, where it is not images: see `keras_vit.tasks`.
    """

    images: int
    changed: int
    better: int
    worse: int
    unit: str = "image"

    @property
    def points(self):
        """Points of top-1 gained; below 0 when lost."""
        return 100.0 * (self.better - self.worse) / self.images

    @property
    def interval(self):
        """95% interval of the points gained: (low, high).

        Source:
            Bonett and Price 2012, Adjusted Wald confidence interval for a difference
            of binomial proportions based on paired data, J. Educ. Behav. Stat. 37. It
            reads what McNemar's test of 1947 does: the images that flipped.
        """
        count = self.images + 2
        up, down = (self.better + 1) / count, (self.worse + 1) / count
        half = Z * math.sqrt((up + down - (up - down) ** 2) / count)
        ends = (up - down - half, up - down + half)
        return tuple(100.0 * max(-1.0, min(1.0, end)) for end in ends)

    @property
    def certain(self):
        """Whether the change is significant: 0 is outside the interval."""
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def flips(self):
        """Number of changed predictions, in words."""
        rest = self.changed - self.better - self.worse
        text = f"{self.changed} changed, {self.better} for the better, {self.worse} for"
        return f"{text} the worse" + (
            f", {rest} wrong before and after" if rest else ""
        )

    def against(self, other):
        """The change in words; "no difference" where it is not significant.

        >>> Change(360, 3, 1, 2).against("Keras").partition(" (")[0]
        'no difference that 360 images can show'
        >>> Change(1000, 12, 0, 12).against("Keras").partition(";")[0]
        '1.20 points below Keras (0.5 to 1.9'
        """
        if not self.changed:
            return f"no difference: none of {self.images} answers changed"
        if not self.certain:
            shown_by = f"{self.images} {self.unit}s"
            return f"no difference that {shown_by} can show ({self.flips})"
        side = "above" if self.points > 0 else "below"
        ends = shown(sorted(map(abs, self.interval)))
        return f"{abs(self.points):.2f} points {side} {other} ({ends}; {self.flips})"

    @property
    def brief(self):
        """The change for a table cell.

        >>> Change(360, 3, 1, 2).brief, Change(1000, 12, 0, 12).brief
        ('none shown', '-1.20 (-1.9 to -0.5)')
        """
        if not self.changed:
            return "same answers"
        if not self.certain:
            return "none shown"
        return f"{self.points:+.2f} ({shown(self.interval)})"

    def to_dict(self):
        """Plain values, for JSON."""
        found = {"points": self.points, "interval": list(self.interval)}
        return {**dataclasses.asdict(self), **found, "certain": self.certain}
