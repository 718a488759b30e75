"""Three ways to a range, on values whose answer is known."""

import numpy as np
import pytest

from keras_vit.export.quantization.calibration import clipping


def seen(*arrays):
    """A histogram of some arrays."""
    histogram = clipping.Histogram()
    for array in arrays:
        histogram.add(np.asarray(array, "float32"))
    return histogram


@pytest.fixture(scope="module")
def normal():
    """A million values around zero, one far out."""
    values = np.random.default_rng(0).normal(size=10**6)
    values[0] = 100.0
    return seen(values[: 10**5], values[10**5 :])


def test_bins_are_narrow_and_in_order():
    """Every value lies within a 32nd of its bin's middle; extremes are exact."""
    values = np.array([-700.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 3.0, 215.0])
    middles, counts = seen(values).sorted()

    np.testing.assert_allclose(np.unique(values), middles, rtol=1 / 16, atol=1e-30)
    assert [1, 1, 1, 1, 1, 2, 1] == counts.tolist()
    assert (-700.0, 215.0) == clipping.min_max(seen(values))


def test_percentile_leaves_a_share_outside(normal):
    """1e-4 of a normal distribution lies beyond 3.72 on each side."""
    low, high = clipping.percentile(normal, 1e-4)

    np.testing.assert_allclose([-3.72, 3.72], [low, high], rtol=1 / 16)
    assert (normal.low, normal.high) == clipping.percentile(normal, 0.0)


def squared_error(values, low, high):
    """What rounding to 256 codes and cutting off really cost."""
    step = (high - low) / 255
    rounded = np.round(np.clip(values, low, high) / step) * step
    return float(((rounded - values) ** 2).sum())


def test_least_squares_beats_what_is_near(normal):
    """Its range costs less than the whole one, and than a wider or narrower one."""
    values = np.random.default_rng(1).laplace(size=10**5)
    low, high = clipping.least_squares(seen(values))
    found = squared_error(values, low, high)

    for factor in (0.6, 1.6):
        assert found < squared_error(values, low * factor, high * factor)
    assert found < squared_error(values, values.min(), values.max())


def test_one_far_value_decides_by_its_distance(normal):
    """Cut off where a million others are served, kept where it is alone."""
    assert clipping.least_squares(normal)[1] > 4
    few = seen(np.linspace(0, 1, 50), [2.0])
    assert 2.0 == clipping.least_squares(few)[1]
    assert 0.0 == clipping.least_squares(few)[0]
