"""`predict` answers for every image it can read, and says which it cannot."""

import csv
import json

import pytest
from PIL import Image

CLASSES = ("dark", "hell", "heiß")


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A small model on disk."""
    path = tmp_path_factory.mktemp("model") / "m.keras"
    tiny(classes=3, labels=CLASSES).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Two images, one below another folder, and what is none."""
    for name in ("a.jpg", "more/b.webp"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "bad.jpg").write_text("no image")
    (tmp_path / "photos" / "c.heic").write_text("no image")
    return tmp_path / "photos"


def test_good_images_are_answered_beside_bad_ones(run, saved, photos):
    """The bad one is named, and the exit code is 1; with skip it is 0."""
    words = ["predict", saved, photos / "a.jpg", photos / "bad.jpg", photos / "no.jpg"]
    code, out, err = run(*words[:4])

    assert 1 == code
    assert f"{photos / 'a.jpg'}\n" in out and "bad.jpg" not in out
    assert f"{photos / 'bad.jpg'}: must be an image" in err and "1 of 2 images" in err
    code, out, _ = run(*words[:4], "--on-bad-image", "skip", "--json")
    found = json.loads(out)
    assert 0 == code and 3 == len(found[str(photos / "a.jpg")])
    assert "must be an image" in found[str(photos / "bad.jpg")]["error"]


def test_a_folder_is_written_as_a_table(run, saved, photos, tmp_path):
    """A line per image with the best names, or what is wrong; an earlier one stays."""
    table = tmp_path / "out.csv"
    words = ["predict", saved, photos, "--csv", table, "--top", 2]
    code, out, err = run(*words, "--on-bad-image", "skip")
    with open(table, newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}

    assert 0 == code and "out.csv: 2 images" in out and "\r" not in out
    assert ".heic files are not read: 1, c.heic" in err
    assert {"a.jpg", "bad.jpg", "more/b.webp"} == {
        name.removeprefix(f"{photos}/") for name in rows
    }
    good, bad = rows[str(photos / "a.jpg")], rows[str(photos / "bad.jpg")]
    assert {good["label"], good["label_2"]} < set(CLASSES) and not good["error"]
    assert "" == bad["label"] and "must be an image" in bad["error"]
    code, _, err = run(*words)
    assert code and "must not exist yet" in err


def test_a_folder_without_images_is_refused(run, saved, tmp_path):
    """With what it holds instead."""
    (tmp_path / "x.heic").write_text("no image")
    code, _, err = run("predict", saved, tmp_path)

    assert code and "must hold images, got none; left out, .heic" in err
