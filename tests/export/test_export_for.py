"""One file for a platform, the code that calls it, and what is said about both."""

import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.cli.option_rules import PLATFORMS as NAMES
from keras_vit.errors import ExportMismatch
from keras_vit.export.apps import app_code
from keras_vit.export.apps.platforms import PLATFORMS, settle
from keras_vit.export.formats.tflite import exporter
from keras_vit.export.formats.tflite.metadata import read_labels
from keras_vit.export.runtime.runtimes import open_file

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "apps.md"


@pytest.fixture
def pixels():
    """Three images of bytes."""
    return np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype="uint8")


def softmax(model, pixels, mode="google"):
    """The model's probabilities of images of bytes."""
    logits = model.predict(keras_vit.preprocess_input(pixels, mode=mode), verbose=0)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_phone_gets_one_file_and_its_code(
    model, photos, answers, pixels, tmp_path, capsys
):
    """Pixels in, probabilities out, labels inside and beside; all of it is said."""
    result = export.export_for(model, tmp_path / "app", "android", (photos, answers))

    assert {"model.tflite", "Classify.kt", "labels.txt"} == set(
        os.listdir(tmp_path / "app")
    )
    assert model.labels == read_labels(result.path)
    assert model.labels == result.labels.read_text().splitlines()
    got = open_file(result)(pixels)[0]
    np.testing.assert_allclose(got, softmax(model, pixels), atol=0.02)
    assert 40 == result.verification.images and result.verification.top1 > 80
    said = capsys.readouterr().out
    for text in (
        "android: model.tflite, TFLite dynamic_int8 (8-bit weights",
        "RGB, bytes of 0 to 255; they become -1 to 1 (mode='google') in the file",
        "other sizes: MediaPipe resizes",
        "gives: probabilities of 5 classes, softmax is part",
        "labels: 5 (ant, bee, cat, ...)",
        "MediaPipe's ImageClassifier reads the file",
        "top-1",
    ):
        assert text in said
    assert said.splitlines()[-1] == result.ship
    assert f"ship {result.path}: " in result.ship and "Classify.kt" in result.ship
    assert ".export." not in said
    assert json.loads(json.dumps(result.to_dict()))["verification"]["passed"]
    code = result.snippet.read_text()
    assert code.startswith("// android: model.tflite") and '"model.tflite"' in code


def test_a_microcontroller_gets_integers(model, photos, pixels, tmp_path):
    """C++ with the operators of the file, the labels, and the memory it needs."""
    given = {"calibration": photos, "verbose": 0}
    result = export.export_for(model, tmp_path / "a", "microcontroller", **given)

    code = result.snippet.read_text()
    methods = set(re.findall(r"ops\.Add(\w+)\(\)", code))
    assert {"Conv2D", "BatchMatMul", "Softmax"} <= methods
    assert f"Resolver<{len(methods)}>" in code and '"elk"' in code
    assert "output->data.uint8" in code and "kArenaBytes" in code
    got = open_file(result)(pixels)[0]
    np.testing.assert_allclose(got, softmax(model, pixels), atol=0.1)
    assert "on a few calibration images" in result.proof
    told = app_code._arena(80688)
    assert "kArenaBytes = 80688" in told and "#error" in app_code._arena(None)


def test_colours_of_different_ranges_are_coded_in_front(tiny, tmp_path):
    """Integers hold one range: the C++ makes the codes, as the file wants them."""
    note = keras_vit.Preprocessing((32, 32), "imagenet")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), "uint8")
    images = keras_vit.preprocess_input(pixels, mode="imagenet")
    given = {"calibration": images, "verbose": 0}

    model = tiny(preprocessing=note)
    result = export.export_for(model, tmp_path / "a", "microcontroller", **given)

    code = result.snippet.read_text()
    assert "mean[] = {123.675f, 116.28f, 103.53f}" in code and "mean[i % 3]" in code
    assert "kLabels" not in code and result.labels is None
    assert any("--class-names FILE" in note for note in result.notes)


def test_a_server_takes_files(model, pixels, tmp_path):
    """The Python beside the SavedModel runs, and prints the model's answer."""
    from PIL import Image

    result = export.export_for(model, tmp_path / "s", "server", verbose=0)

    Image.fromarray(pixels[0]).save(tmp_path / "s" / "photo.jpg", "png")
    best = model.labels[softmax(model, pixels)[0].argmax()]
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "s")
        exec(result.snippet.read_text(), {"print": lambda *words: said.append(words)})
    assert best == said[0][0] and 3 == len(said)


def test_javascript_parses(model, converted, tmp_path):
    """By node, where there is one; without labels it gives numbers."""
    if shutil.which("node") is None:
        pytest.skip("needs node, which is not installed")
    model = keras_vit.models.ImageModel(model.inputs, model.outputs)
    model.preprocessing = keras_vit.Preprocessing((32, 32))
    result = export.export_for(model, tmp_path / "w", "web", verbose=0)

    script = result.snippet.rename(tmp_path / "x.mjs")
    subprocess.run(["node", "--check", script], check=True)
    assert '"class " + c.index' in script.read_text()


WRONG = {
    "target": ({"target": "iphone"}, "'server', got 'iphone'. Use 'ios'"),
    "recipe": ({"target": "ios", "quantization": "int9"}, "'auto', got 'int9'"),
    "server": (
        {"target": "server", "quantization": "int4"},
        "must be 'float32' for target='server', got 'int4': TensorFlow computes",
    ),
    "chip": (
        {"target": "microcontroller", "quantization": "int4"},
        "must be 'full_int8' for target='microcontroller', got 'int4': tflite-micro",
    ),
    "calibration": (
        {"target": "microcontroller"},
        "must be given for target='microcontroller' with full_int8.*Pass 32 to 128",
    ),
    "unused": ({"target": "web", "calibration": 1}, "is not used for target='web'"),
    "auto": ({"target": "web", "quantization": "auto"}, "validation: must be given"),
    "size": ({"target": "server", "input_size": 48}, "takes JPEG and PNG files of any"),
    "labels": ({"target": "web", "labels": ["a"]}, "must name 5 classes, got 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_first(name, model, never, tmp_path):
    """With the rule, the value and the way out; nothing is left behind."""
    options, text = WRONG[name]

    with pytest.raises(ValueError, match=text):
        export.export_for(model, tmp_path / "app", **options)

    assert [] == os.listdir(tmp_path)


def test_models_that_no_app_can_use(tiny, never, tmp_path):
    """No range, features alone, or grey images for MediaPipe."""
    grey, mute, one = tiny(channels=1), tiny(), tiny()
    bare = keras_vit.models.ImageModel(one.inputs, 2 * one.outputs)
    bare.preprocessing, mute.preprocessing = one.preprocessing, None
    cases = {"take images of 3 colours": grey, "does not say which pixels": mute}

    for text, wrong in {**cases, "one score per class": bare}.items():
        with pytest.raises(ValueError, match=text):
            export.export_for(wrong, tmp_path / "app", "android", verbose=0)
    assert [] == os.listdir(tmp_path)


def test_files_of_yours_stay(model, converted, tmp_path):
    """Nothing is replaced unless asked; then no labels of another model remain."""
    mine = tmp_path / "labels.txt"
    mine.write_text("mine")

    with pytest.raises(FileExistsError, match="must not exist yet"):
        export.export_for(model, tmp_path, "ios", verbose=0)
    assert "mine" == mine.read_text()
    nameless = keras_vit.models.ImageModel(model.inputs, model.outputs)
    nameless.preprocessing = keras_vit.Preprocessing((32, 32))
    export.export_for(nameless, tmp_path, "ios", overwrite=True, verbose=0)
    assert {"model.tflite", "Classify.swift"} == set(os.listdir(tmp_path))


def test_a_file_that_loses_too_much_is_not_kept(
    model, photos, answers, converted, tmp_path, monkeypatch
):
    """The images decide; the folder is as it was."""
    module = importlib.import_module("keras_vit.export.export_for")
    verify = module.verify

    def judge(*args, **options):
        found = verify(*args, **options)
        found.reasons.append("top-1 fell")
        return found

    monkeypatch.setattr(module, "verify", judge)
    with pytest.raises(ExportMismatch, match=r"^model.tflite: .* top-1 fell"):
        export.export_for(model, tmp_path / "app", "web", (photos, answers), verbose=0)
    assert [] == os.listdir(tmp_path)


def test_a_single_score_is_left_as_it_is(tiny, tmp_path):
    """One class has no softmax; its range may be that of bytes."""
    note = keras_vit.Preprocessing((32, 32), "none")
    model = tiny(classes=1, classifier_activation="sigmoid", preprocessing=note)
    result = export.export_for(model, tmp_path / "a", "android", verbose=0)

    assert "gives: probabilities of 1 class, as the model gives them" in result.notes
    assert "they become 0 to 255 (mode='none')" in result.notes[1]


def test_auto_says_what_it_chose(model, photos, answers, converted, tmp_path):
    """Above the code stands the recipe, not the word."""
    options = {"quantization": "auto", "tolerance": 20.0, "verbose": 0}
    result = export.export_for(
        model, tmp_path / "a", "web", (photos, answers), **options
    )

    first = "web: model.tflite, TFLite dynamic_int8 (chosen by your images)"
    assert first == result.notes[0]
    assert result.snippet.read_text().startswith(f"// {first}")


def test_another_recipe_is_said_to_be_asked_for():
    """float32 is a word here; the command knows the same platforms."""
    assert (PLATFORMS["web"], None) == settle("web", "float32")
    assert "float16" == settle("ios", "float16")[1]
    assert NAMES == tuple(PLATFORMS)
    assert exporter.RECIPES.keys() <= set(PLATFORMS["android"].recipes)


@pytest.mark.parametrize("language", ["kotlin", "swift", "js"])
def test_the_guide_shows_the_code_that_is_written(language):
    """One source: docs/apps.md has it word for word."""
    name = {"kotlin": "android", "swift": "ios", "js": "web"}[language]
    code = app_code.app_code(PLATFORMS[name], None, None, ["ant"])
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)

    assert [code] == blocks
