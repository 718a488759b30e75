"""The script that trains the ViT paper's choices one by one, in small form."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_vit


@pytest.fixture(scope="module")
def ablations(script):
    """The script as a module."""
    return script("ablations")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve training and four test images of each of two colours."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for channel, name in enumerate(("red", "green")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (16, 16, 3), "uint8")
                pixels[..., channel] += 100
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def test_each_row_switches_what_it_says(ablations, tmp_path):
    """Tables, class token and head are there, or not, as the name of the row has it."""
    options = ablations._options(["x", "--output", str(tmp_path)])
    paths = {}
    for row in ablations.ROWS:
        model = {"image_size": 32, "classes": 10, **ablations._model(row, options)}
        built = keras_vit.models.abstract_model(keras_vit.VisionTransformer, **model)
        found = " ".join(weight.path for weight in built.weights)
        words = ("position/embedding", "position/rows", "offsets", "class_token")
        paths[row.name] = [w for w in (*words, "pre_logits/kernel") if w in found]
    first = ["position/embedding", "class_token"]
    assert {
        "baseline: learned 1-D, class token, linear head": first,
        "position: none": ["class_token"],
        "position: learned 2-D": ["position/rows", "class_token"],
        "position: fixed sine-cosine 2-D": ["class_token"],
        "position: relative": ["offsets", "class_token"],
        "mean of the patches": ["position/embedding"],
        "mean of the patches, lower rate": ["position/embedding"],
        "class token, lower rate": first,
        "MLP head (tanh)": [*first, "pre_logits/kernel"],
    } == paths
    rates = {row.name: row.rate for row in ablations.ROWS}
    assert rates["mean of the patches"] > rates["mean of the patches, lower rate"]


@pytest.mark.slow
def test_a_second_call_reads_what_the_first_trained(
    ablations, folder, tmp_path, capsys
):
    """Several seeds stand in a line with their range; other options are refused."""
    words = [str(folder), "--output", str(tmp_path / "out"), "--rows", "base"]
    words += ["--epochs", "1", "--width", "8", "--heads", "2", "--depth", "1"]
    words += ["--batch-size", "8", "--baseline-seeds", "2"]
    ablations.main(words)
    table = (tmp_path / "out" / "table.md").read_text()
    notes = list((tmp_path / "out").glob("*/score.json"))
    assert table in capsys.readouterr().out and 2 == len(notes)
    lines = table.splitlines()
    assert 3 == len(lines) and " to " in lines[2] and "| 2 | 64.2% |" in lines[2]
    for note in notes:
        scores = json.loads(note.read_text())
        assert 8 == scores["count"] and 0 <= scores["test"] <= 1

    ablations.main(words)
    out = capsys.readouterr().out
    assert table in out and "2 of 2" not in out
    with pytest.raises(SystemExit, match="same options.*Choose another --output"):
        ablations.main([*words, "--epochs", "2"])
    with pytest.raises(SystemExit, match="'position: none'.*got .'svm'"):
        ablations.main([*words, "--rows", "svm"])
