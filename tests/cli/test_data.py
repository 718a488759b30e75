import json

import numpy as np
import pytest

from keras_vit import cli

image = pytest.importorskip("PIL.Image")


def test_a_folder_is_prepared_and_a_batch_of_it_drawn(tmp_path, capsys):
    """From image files to records and a picture, by two commands."""
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(rng.integers(0, 256, (12, 10, 3), "uint8")).save(path)
    words = ["prepare", str(tmp_path / "photos"), str(tmp_path / "out"), "--json"]

    assert 0 == cli.main(words)
    assert ["a", "b"] == json.loads(capsys.readouterr().out)["classes"]
    picture = str(tmp_path / "batch.png")
    words = ["inspect-data", f"tfds:{tmp_path / 'out'}", "--output", picture]
    words += ["--batch-size", "4", "--image-size", "32", "--augment", "none"]
    assert 0 == cli.main(words)
    said = capsys.readouterr().out
    assert "batch.png: none" in said
    assert "record 3 of epoch 0" in said
    with image.open(picture) as drawn:
        assert (2 * 98, 2 * 110) == drawn.size
    assert 2 == cli.main(words)
    assert "must not exist yet" in capsys.readouterr().err


def blocks(path, seed, kind="PNG", **options):
    """A small image of random colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), "uint8")
    image.fromarray(pixels).save(path, kind, **options)


def test_a_folder_is_looked_at(tmp_path, capsys):
    """Splits, classes, what is left out, duplicates, turned photos, and a sheet."""
    root, turned = tmp_path / "photos", image.Exif()
    turned[0x0112] = 6
    for number in range(4):
        blocks(root / "train" / "a" / f"{number}.png", number)
        blocks(root / "valid" / "a" / f"{number}.png", 10 + number)
        blocks(root / "train" / "b" / f"{number}.jpg", 20 + number, "JPEG", exif=turned)
    blocks(root / "valid" / "b" / "copy.png", 0)
    blocks(root / "train" / "b" / "copy.png", 1)
    (root / "train" / "b" / "bad.jpg").write_text("no image")
    (root / "train" / "a" / "c.heic").write_text("no image")
    picture = str(tmp_path / "sheet.png")
    assert 0 == cli.main(["data", str(root), "--sheet", picture])
    said = capsys.readouterr().out

    assert "split folders, 2 classes, 15 images" in said
    assert "left out, .heic files are not read: 1, train/a/c.heic" in said
    assert "cannot be opened: 1, train/b/bad.jpg" in said
    assert "turned the right way up, as their cameras say: 4" in said
    assert "several splits: 1, train/a/0.png = valid/b/copy.png" in said
    assert "several classes: 2, " in said
    with image.open(picture) as sheet:
        assert 4 * 130 == sheet.size[0]
    assert 0 == cli.main(["data", f"folder:{root}", "--quick", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"a": 4, "b": 1} == found["counts"]["validation"]


def test_a_folder_that_training_refuses_is_shown(tmp_path, capsys):
    """With the reason, and exit code 1; other sources have counts."""
    for name, count in (("a", 30), ("b", 2)):
        for number in range(count):
            blocks(tmp_path / name / f"{number}.png", number)
    assert 1 == cli.main(["data", str(tmp_path), "--quick"])
    said = capsys.readouterr().out

    assert "training refuses it: " in said and "needs 3 images or more" in said
    assert "uneven: 30 images of 'a', 2 of 'b'" in said
    assert 0 == cli.main(["data", "digits"])
    assert "digits: train 1257, validation 180, test 360" in capsys.readouterr().out
