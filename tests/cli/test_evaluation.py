"""`keras-vit evaluate`: every score of a model, and probes of its features."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A small model on disk that knows three colours."""
    path = tmp_path_factory.mktemp("colours") / "colours.keras"
    tiny(classes=3, labels=["blue", "green", "red"]).save(path)
    return path


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Nine images of each of three colours, as class folders."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for number in range(9):
            pixels = rng.integers(0, 60, (32, 32, 3), "uint8")
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return f"folder:{root}"


def test_every_score_of_a_model(run, saved, colours, tmp_path):
    """Accuracy, calibration, mistakes and a table by class; a picture; never twice."""
    path = tmp_path / "c.png"
    words = ("evaluate", saved, "--data", colours, "--split", "all", "--per-class")
    code, out, _ = run(*words, "--confusion", path)

    assert 0 == code
    assert "top1" in out and "calibration error" in out and "27 images" in out
    assert "taken for" in out and "precision" in out and str(path) in out
    with Image.open(path) as drawn:
        assert 150 < drawn.width
    code, _, err = run(*words, "--confusion", path)
    assert 1 == code and "must not exist yet" in err
    code, out, _ = run(*words, "--confusion", path, "--overwrite", "--json")
    scores = json.loads(out)
    assert 27 == scores["count"] == sum(row["count"] for row in scores["per_class"])
    assert 0 <= scores["calibration_error"] <= 1 and str(path) == scores["confusion"]


def test_probes_of_the_features(run, saved, colours):
    """Learnt on the training images: colours are told apart by any of them."""
    words = ("evaluate", saved, "--data", colours, "--json")
    code, out, _ = run(*words, "--probe", "linear,knn,few_shot")

    scores = json.loads(out)
    assert 0 == code and "test" == scores["split"]
    assert ["linear_top1", "shot1_top1", "shot5_top1", "knn_top1"] == list(scores)[2:]
    assert 1.0 == scores["linear_top1"]
    code, _, err = run(*words, "--probe", "svm")
    assert 1 == code and "linear, few_shot, knn" in err
    code, _, err = run(*words, "--probe", "knn", "--per-class")
    assert 2 == code and "Leave out --confusion" in err


def test_reassessed_labels_need_imagenet(run, saved, colours, tmp_path):
    """Before anything slow, with the name of a file."""
    (tmp_path / "real.json").write_text("[[1]]")
    words = ("evaluate", saved, "--data", colours, "--real", tmp_path / "real.json")
    code, _, err = run(*words)

    assert 1 == code and "must be named after its number in ImageNet" in err
