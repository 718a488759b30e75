"""`keras-vit evaluate`: every score of a model, and probes of its features."""

import json

import numpy as np
import pytest
from PIL import Image

import keras_vit


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
    assert "top-1" in out and "calibration error" in out and "27 images" in out
    assert "taken for" in out and "precision" in out and str(path) in out
    with Image.open(path) as drawn:
        assert 150 < drawn.width
    code, _, err = run(*words, "--confusion", path)
    assert 2 == code and "must not exist yet" in err
    code, out, _ = run(*words, "--confusion", path, "--overwrite", "--json")
    scores = json.loads(out)
    assert 27 == scores["count"] == sum(row["count"] for row in scores["per_class"])
    assert 0 <= scores["calibration_error"] <= 1 and str(path) == scores["confusion"]


def test_probes_of_many_encoders(run, saved, colours, tmp_path):
    """A row per model in the order given, floors too, and a picture over depth."""
    picture = tmp_path / "depths.png"
    gpt = tmp_path / "gpt.keras"
    keras_vit.ImageGPT(image_size=8, width=8, depth=2, heads=2, colors=8).save(gpt)
    words = ("evaluate", saved, gpt, f"random:{saved}", "pixels", "--data", colours)
    kinds = "linear,few_shot,knn,depth"
    code, out, _ = run(*words, "--probe", kinds, "--picture", picture, "--json")

    answer = json.loads(out)
    rows = {row["name"]: row for row in answer["encoders"]}
    assert 0 == code and "test" == answer["split"]
    assert 0 < answer["known_within_points"] < 50
    assert ["colours", "gpt", "random:colours", "pixels"] == list(rows)
    assert {"linear_top1", "shot1_top1", "shot5_top1", "knn_top1"} < set(rows["pixels"])
    assert 1.0 == rows["colours"]["linear_top1"] == rows["pixels"]["linear_top1"]
    assert "ImageGPT" == rows["gpt"]["kind"] and 3072 == rows["pixels"]["features"]
    assert rows["gpt"]["curve"]["best"] == rows["gpt"]["depth"]
    assert str(picture) == answer["picture"] and picture.is_file()


def test_probes_refuse_early(run, saved, colours, tmp_path):
    """Each wrong word before a model is read or an image looked at."""
    words = ("evaluate", saved, "--data", colours)
    for code, more, says in (
        (2, ("--probe", "svm"), "linear, few_shot, knn, lars, depth"),
        (2, ("--probe", "knn", "--per-class"), "Leave out --confusion"),
        (2, ("--probe", "knn", "--picture", "a.png"), "Add depth"),
        (2, ("--probe", "depth", "--picture", "a.svg"), "must end in .png"),
        (2, ("--pooling", "gap"), "Add --probe linear,few_shot,knn"),
        (2, (saved,), "needed for several models"),
        (2, ("gone.keras", "--probe", "knn"), "gone.keras: must be an existing"),
    ):
        found = run(*words[:2], *more, *words[2:])
        assert code == found[0] and says in found[2], found


def test_reassessed_labels_need_imagenet(run, saved, colours, tmp_path):
    """Before anything slow, with the name of a file."""
    (tmp_path / "real.json").write_text("[[1]]")
    words = ("evaluate", saved, "--data", colours, "--real", tmp_path / "real.json")
    code, _, err = run(*words)

    assert 1 == code and "must be named after its number in ImageNet" in err
