"""The page and its pictures: complete, readable without sight, in need of nothing."""

import html.parser
import re
import sys

import keras
import numpy as np
import pytest

from keras_vit import introspect
from keras_vit.introspect import drawing
from keras_vit.introspect.inspection import guesses


def photograph(side=40):
    """Random pixels, (side, side + 8, 3) uint8."""
    return np.random.default_rng(2).integers(0, 255, (side, side + 8, 3), "uint8")


@pytest.fixture(scope="module")
def found(tiny):
    """What is inside a DeiT on a wide grid, of two pictures, one with a nasty name."""
    model = tiny(distilled=True, image_size=(16, 32))
    pictures = {"a<b>.png": photograph(), "folder/c.png": photograph(50)}
    return introspect.inspect_model(model, pictures, verbose=0)


@pytest.fixture(scope="module")
def page(found):
    """The page of it."""
    return introspect.render_page(found, title="<script>x</script>")


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_needs_nothing_else(page):
    """Pictures travel inside; no script, no address is ever fetched."""
    elements = Elements(page)
    fetched = [
        v for _, a in elements.found for k, v in a.items() if k in ("src", "href")
    ]

    assert fetched and all(value.startswith("data:image/") for value in fetched)
    linked = [a["xlink:href"] for _, a in elements.found if "xlink:href" in a]
    assert all(value.startswith(("data:image/", "#")) for value in linked)
    assert [] == elements.of("script") + elements.of("link")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page) and "@import" not in page


def test_every_picture_has_words(page):
    """Each image and each drawing says what it shows."""
    elements = Elements(page)
    words = [image["alt"] for image in elements.of("img")]
    words += [drawn["aria-label"] for drawn in elements.of("svg")]

    assert 2 * (4 + 2) == len(elements.of("img"))  # views and blocks of two pictures
    assert 2 + 4 == len(elements.of("svg"))
    assert all(len(text) > 10 for text in words)
    assert "a<b>.png, attention rollout: largest at row" in " ".join(words)


def test_the_page_is_light_and_dark_and_escaped(page):
    """Drawings take the page's colours; names cannot break out of their place."""
    style, body = page.split("</style>")

    assert "prefers-color-scheme: dark" in style
    assert drawing.INK not in body and "var(--ink)" in body
    assert "<b>.png" not in body and "a&lt;b&gt;.png" in body
    assert "<script" not in page and "Inside &lt;script&gt;" in body
    assert "class, distillation" in body
    assert "class 3" in body  # a model without labels still names its classes


def test_the_inspection_agrees_with_the_functions(tiny, found):
    """One pass gives what each function gives by itself."""
    model = tiny(distilled=True, image_size=(16, 32))
    pictures = (photograph(), photograph(50))
    images = np.stack([np.asarray(model.preprocessing(p)) for p in pictures])
    rollout = introspect.attention_rollout(model, images)
    norms = introspect.token_norms(model, images)

    far = introspect.attention_distance(model, images)
    np.testing.assert_allclose(far, found.distances, rtol=1e-4)
    for index, sight in enumerate(found.sights):
        np.testing.assert_allclose(rollout[index], sight.rollout, atol=1e-5)
        np.testing.assert_allclose(norms[index], sight.norms[0], rtol=1e-4)
    shares = [share for _, share in found.sights[0].guesses]
    assert 1.0 == pytest.approx(sum(shares), abs=1e-5)


def test_what_is_not_there_is_said(tiny):
    """Relative positions, features only, grey pictures: the page still comes."""
    model = tiny(
        position="relative", include_top=False, pooling="map", channels=1, depth=1
    )
    found = introspect.inspect_model(model, {"x.png": photograph()}, verbose=0)
    page = introspect.render_page(found)

    assert (32, 32, 1) == found.sights[0].pixels.shape
    assert "gives features, no classes" in page
    assert "position=&#x27;relative&#x27;" in page


def test_a_model_must_say_how_it_is_fed(tiny):
    """No preprocessing, five channels, no picture: each with its way out."""
    model = tiny(depth=1)
    model.preprocessing = None

    with pytest.raises(ValueError, match="'vit' without prepro.*--preprocess mode="):
        introspect.inspect_model(model, {"x": photograph()}, verbose=0)
    with pytest.raises(ValueError, match="three channels, got 5. Pass arrays"):
        introspect.inspect_model(tiny(depth=1, channels=5), {"x": photograph()})
    with pytest.raises(ValueError, match="at least one, got none"):
        introspect.inspect_model(model, {})


def test_a_dot_per_head(found):
    """The chart of distances holds the figures."""
    far = found.distances
    (axes,) = introspect.plot_attention_distance(far).axes
    dots = np.stack([line.get_ydata() for line in axes.lines[:-1]], axis=1)

    np.testing.assert_array_equal(np.sort(far, axis=1), dots)
    np.testing.assert_array_equal(far.mean(axis=1), axes.lines[-1].get_ydata())


def test_large_grids_are_thinned():
    """Every third tile of 40, with the number of its patch beside it."""
    similarity = np.zeros((40, 20, 40, 20), "float32")
    axes = introspect.plot_position_similarity(similarity).axes[0]

    assert (14 * 41 - 1, 7 * 21 - 1) == axes.images[0].get_array().shape
    assert "4" == axes.get_xticklabels()[1].get_text()


def test_a_tile_per_filter_and_head(found):
    """Filters in rows of seven; a row per head, a column per block."""
    axes = introspect.plot_embedding_filters(found.filters).axes
    assert len(found.filters) == sum(len(place.images) for place in axes)

    maps = [np.full((2, 3, 10, 10), 0.1)] * 4
    layout = found.layout
    (axes,) = introspect.plot_attention_maps(maps, layout, index=1).axes
    h, w = layout.grid
    assert (3 * (h + 1) - 1, 4 * (w + 1) - 1) == axes.images[0].get_array().shape


def test_light_falls_where_the_map_is():
    """The brightest patch keeps its colours, a dark one becomes black."""
    picture = np.full((32, 32, 3), 200, "uint8")
    result = drawing.lit(picture, np.array([[0.0, 0.0], [0.0, 0.5]]))

    assert 200 == result[-1, -1, 0] and 0 == result[0, 0, 0]
    assert (32, 32, 3) == drawing.heated(picture, np.eye(2)).shape


def test_drawing_says_what_to_install(monkeypatch):
    """Without matplotlib the line that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ImportError, match="pip install 'matplotlib"):
        introspect.plot_attention_distance(np.ones((2, 2)))


def test_a_softmax_of_its_own_is_one():
    """Probabilities are taken as they are, whatever layer made them."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Softmax()(inputs))
    shares = np.array([[0.25, 0.75]], "float32")

    assert [("class 1", 0.75), ("class 0", 0.25)] == guesses(model, shares)
