"""Pictures write any name that a font of the machine has, and tell when none has."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_vit import lettering
from keras_vit.contact_sheet import sheet
from keras_vit.introspect import drawing


def drawn(text):
    """Pixels of a text."""
    page = Image.new("L", (120, 20), "white")
    lettering.write(ImageDraw.Draw(page), (0, 0), text, 12, "black")
    return np.asarray(page)


@pytest.fixture
def bare(monkeypatch):
    """A machine without any font but Pillow's own."""
    caches = (lettering._installed, lettering._best, lettering._set)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(lettering, "_folders", lambda: iter(()))
    yield
    for cache in caches:
        cache.cache_clear()


NAMES = ["äöü", "ßéñ", "чай", "γάτα", "帽子", "قطة", "cat"]


@pytest.mark.parametrize("machine", ["own", "bare"])
def test_different_names_look_different(machine, request):
    """With the fonts of this machine and without any; never boxes."""
    if machine == "bare":
        request.getfixturevalue("bare")
    pictures = {drawn(name).tobytes() for name in NAMES}

    assert len(NAMES) == len(pictures)


def test_letters_that_no_font_has_are_numbers(bare):
    """And a sentence says which, and what to do."""
    said = lettering.undrawable(["帽子", "cat", "m\u00fctze"])

    assert "no font of this machine has 'ü子帽'" in said and "Install" in said
    np.testing.assert_array_equal(drawn("\\u5e3d x"), drawn("帽 x"))
    assert lettering.undrawable(["cat, 97%"]) is None


def test_names_are_cut_to_the_width_of_their_image():
    """By what they take, not by their number of letters; line breaks move nothing."""
    short = lettering.fitted("W" * 40, 10, 96)

    assert short.endswith("...") and lettering.length(short, 10) <= 96
    assert "i" * 20 == lettering.fitted("i" * 20, 10, 96)
    page = sheet(np.zeros((2, 96, 96, 3), "uint8"), ["a\nb", "x" * 99])
    assert (110, 2 * 98, 3) == page.shape


def test_a_chart_takes_the_font_of_its_names():
    """Charts of matplotlib too have no boxes in the place of letters."""
    drawing.figure(1, 1)  # tells when matplotlib is missing
    from matplotlib.text import Text

    texts = [Text(text=name) for name in NAMES]
    drawing.letter(texts)

    for name, text in zip(NAMES, texts, strict=True):
        assert lettering.chosen(name)[1] == text.get_text()
