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
