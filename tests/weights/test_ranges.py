"""Pixel ranges: names, free numbers, and what does not go together."""

import numpy as np
import pytest

from keras_vit import ranges
from keras_vit.preprocess import Preprocessing, preprocess_input, to_pixels


@pytest.mark.parametrize(
    ("numbers", "mode"),
    [
        ({"mean": 0.5, "std": 0.5}, "google"),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "imagenet"),
        ({"mean": 1, "std": 1, "scale": 1 / 127.5}, "google"),
        ({"mean": 0, "std": 1, "scale": 1}, "none"),
        ({"mean": 0, "std": 1}, "custom"),
        ({"mean": [0.4, 0.5, 0.6], "std": 0.3}, "custom"),
    ],
)
def test_numbers_of_a_named_range_become_its_name(numbers, mode):
    """Whatever the scale they are written in."""
    assert mode == Preprocessing(**numbers).mode


def test_free_numbers_are_one_formula_everywhere():
    """(pixel * scale - mean) / std, and back; through files and other sizes too."""
    note = Preprocessing((8, 8), mean=(0.4, 0.5, 0.6), std=0.3, scale=1 / 250)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), "uint8")
    expected = (pixels / 250 - [0.4, 0.5, 0.6]) / 0.3

    np.testing.assert_allclose(expected, note(pixels), atol=1e-5)
    same = preprocess_input(pixels, mean=(0.4, 0.5, 0.6), std=0.3, scale=1 / 250)
    np.testing.assert_allclose(expected, same, atol=1e-5)
    assert np.array_equal(pixels, to_pixels(same, note.range))
    assert note == Preprocessing(**note.get_config())
    assert note.range == note.resized((9, 9)).range


def test_a_change_of_range_replaces_all_of_it():
    """A name takes the place of numbers, and numbers that of a name."""
    note = Preprocessing(mean=0.4, std=0.3)

    assert "imagenet" == note.changed(mode="imagenet").mode
    assert (None, 0.9) == (note.changed(mode="clip").mean, note.changed(crop=0.9).crop)
    assert "custom" == note.changed(mode="clip").changed(mean=0.1, std=0.2).mode


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "google", "mean": 0.4}, "a name has its own mean and std"),
        ({"mode": "custom"}, "'custom' needs numbers"),
        ({"std": 0}, "std: must be above 0, got 0"),
        ({"mean": float("nan")}, "mean: must be finite"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, "one number, or one per channel"),
        ({"mean": "a"}, "mean: must be a number"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, message):
    """With the rule and the value."""
    with pytest.raises((ValueError, TypeError), match=message):
        Preprocessing(**fields)


def test_channels_must_fit():
    """A range of three colours is not spread over one channel in silence."""
    with pytest.raises(ValueError, match="have 1 channels, got a range of 3"):
        preprocess_input(np.zeros((2, 2, 1)), "imagenet")
    assert ((0.449,), (0.226,)) == ranges.averaged("imagenet")
