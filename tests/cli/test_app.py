"""`keras-vit export --for`: the file that an app needs."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import export


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with a nameless model, three photos in folders, and names."""
    place = tmp_path_factory.mktemp("app")
    tiny().save(place / "m.keras")
    for name in ("a", "b", "c"):
        (place / "photos" / name).mkdir(parents=True)
        pixels = np.full((32, 32, 3), ord(name), "uint8")
        Image.fromarray(pixels).save(place / "photos" / name / "1.png")
    (place / "names.txt").write_text("\ufeffa\nb\nc\nd\ne\n\n", encoding="utf-8")
    (place / "short.txt").write_text("a\nb")
    return place


@pytest.fixture
def asked(monkeypatch):
    """What `export_for` is asked for; nothing is written."""
    given = {}

    class Result:
        def to_dict(self):
            return {"target": "ios"}

        def __str__(self):
            return "ship it"

    def note(model, folder, target, validation, **options):
        given.update(options, target=target, validation=validation, model=model)
        return Result()

    monkeypatch.setattr(export, "export_for", note)
    return given


def test_options_are_handed_on(run, place, tmp_path, asked):
    """Names from the file count for the folders of images too."""
    words = ("export", place / "m.keras", tmp_path / "app", "--for", "ios")
    words += ("--class-names", place / "names.txt", "--images", place / "photos")
    words += ("--quantization", "float16", "--input-size", "48,64", "--tolerance", 2)

    code, out, err = run(*words, "--overwrite", "--quiet")

    assert 0 == code, err
    assert "ship it" == out.strip()
    assert list("abcde") == asked["labels"] == list(asked["model"].labels)
    assert asked["validation"].labelled and 3 == asked["validation"].count
    assert ("ios", "float16", (48, 64), 2.0, True) == tuple(
        asked[name]
        for name in ("target", "quantization", "input_size", "tolerance", "overwrite")
    )
    code, out, _ = run(*words)
    assert (0, "") == (code, out)  # the function said it
    assert {"target": "ios"} == json.loads(run(*words, "--json")[1])


WRONG = {
    "unknown": (["--for", "browser"], "'server', got 'browser'. Use 'web'"),
    "file": (["x.onnx", "--for", "web"], "--for: writes a folder, got the file"),
    "part": (["--for", "web", "--softmax"], "--softmax: is part of --for"),
    "other": (["--for", "web", "--formats", "onnx"], "--formats: goes without --for"),
    "tolerance": (["--for", "web", "--tolerance", "1"], "Give --images FOLDER or"),
    "calibration": (
        ["--for", "microcontroller"],
        "--calibration: must be given for --",
    ),
    "recipe": (["--for", "server", "--quantization", "int4"], "must be 'float32' for"),
    "auto": (["--for", "web", "--quantization", "auto"], "--images: needed"),
    "names": (["--for", "web", "--class-names", "short.txt"], "must hold 5 lines"),
    "no names": (["--for", "web", "--class-names", "x.txt"], "no such file of class"),
    "bytes": (["--for", "web", "--class-names", "m.keras"], "must be text in UTF-8"),
    "taken": (["photos", "--for", "web"], "must not exist yet"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage(name, run, place, asked, monkeypatch):
    """Exit code 2, in the words of the command, and nothing is begun."""
    monkeypatch.chdir(place)
    (place / "photos" / "labels.txt").write_text("mine")
    words, text = WRONG[name]
    words = words if not words[0].startswith("--") else ["app", *words]

    code, _, err = run("export", "m.keras", *words)

    assert 2 == code and text in err
    assert {} == asked and not (place / "app").exists()
