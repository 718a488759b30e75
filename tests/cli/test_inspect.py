"""`keras-vit inspect`, called as the shell would call it."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A small model on disk that knows two classes."""
    path = tmp_path_factory.mktemp("inspect") / "pets.keras"
    tiny(classes=2, labels=["cat", "dog"]).save(path)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A small PNG."""
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), "uint8")
    Image.fromarray(pixels).save(path)
    return path


def test_a_page_from_a_model_and_a_picture(run, saved, picture, tmp_path):
    """The page is there, the answer holds the prediction and the distances."""
    page = tmp_path / "new" / "page.html"
    code, out, err = run("inspect", saved, picture, "--output", page, "--json")

    assert (0, "") == (code, err)
    answer = json.loads(out)
    assert str(page) == answer["page"]
    assert {"cat", "dog"} == {g["label"] for g in answer["images"][str(picture)]}
    assert (2, 2) == np.shape(answer["distance_px"])
    assert "Inside pets" in page.read_text() and "a.png" in page.read_text()
    assert [page] == list(page.parent.iterdir())


def test_a_missing_picture_is_named_first(run, tmp_path):
    """Before the model is opened: what is missing, and what to give."""
    code, _, err = run("inspect", "no.keras", tmp_path / "no.jpg", "--output", "x.html")

    assert 2 == code
    assert "no.jpg: must be an image file, got nothing" in err and "photos/*.jpg" in err


def test_a_folder_is_no_picture(run, tmp_path):
    """The message says that it is a folder."""
    code, _, err = run("inspect", "no.keras", tmp_path, "--output", "x.html")

    assert 2 == code and "got a folder" in err


def test_an_existing_page_stays(run, picture, tmp_path):
    """Nothing is overwritten unasked, and nothing slow is begun."""
    page = tmp_path / "page.html"
    page.write_text("mine")
    code, _, err = run("inspect", "no.keras", picture, "--output", page)

    assert 2 == code and "must not exist yet" in err and "mine" == page.read_text()


def test_an_interrupted_page_leaves_nothing(run, saved, picture, tmp_path, monkeypatch):
    """Ctrl-C while the page is made: no file, no half of one."""

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_vit.introspect.render_page", stop)
    code, _, _ = run("inspect", saved, picture, "--output", tmp_path / "page.html")

    assert 130 == code and [] == list(tmp_path.iterdir())
