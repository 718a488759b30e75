"""Intervals of shares and of changes, against other people's figures."""

import json
import math

import pytest

from keras_vit.intervals import Change, percents, wilson


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [
        (354, 360, (0.964121, 0.992340)),  # scipy's binomtest, proportion_ci("wilson")
        (8, 10, (0.490162, 0.943318)),  # the same
        (0, 10, (0.0, 0.277533)),  # by hand: z^2 / (n + z^2)
        (10, 10, (0.722467, 1.0)),
        (0, 1, (0.0, 0.793450)),
    ],
)
def test_the_interval_of_a_share(hits, count, expected):
    """Wilson's, which holds at none and at all images too."""
    assert expected == pytest.approx(wilson(hits, count), abs=1e-6)


def test_no_images_say_nothing():
    """Percents of no images are none."""
    assert percents(0, 0) is None and percents(1, 1)[1] == 100.0


def mcnemar(better, worse):
    """p of McNemar's test in its exact form: the flips as a fair coin's."""
    flips, least = better + worse, min(better, worse)
    tails = sum(math.comb(flips, k) for k in range(least + 1))
    return min(1.0, 2 * tails / 2**flips)


@pytest.mark.parametrize("images", [50, 360, 10_000])
def test_what_counts_as_a_change_is_what_mcnemar_says(images):
    """By the interval of the flips: hardly ever otherwise than the exact test."""
    for worse in range(25):
        for better in range(min(25, images - worse)):
            certain = Change(images, better + worse, better, worse).certain
            p = mcnemar(better, worse)
            assert certain == (p < 0.05) or 0.04 < p < 0.08


def test_a_change_in_words():
    """Never a boast: what the images cannot show is no difference."""
    more = Change(360, 7, 4, 1)

    assert more.points > 0 and not more.certain and "none shown" == more.brief
    assert (
        "no difference that 360 images can show (7 changed, 4 for the better, 1 for "
        "the worse, 2 wrong before and after)" == more.against("Keras")
    )
    assert "2.00 points above Keras (" in Change(1000, 20, 20, 0).against("Keras")
    same = Change(10, 0, 0, 0)
    assert "no difference: none of 10 answers changed" == same.against("Keras")
    assert "same answers" == same.brief and not same.certain
    assert {"points", "interval", "certain", "better"} <= set(more.to_dict())
    json.dumps(more.to_dict())
