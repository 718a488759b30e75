"""Exported files in the runtimes that apps use: CompiledModel, MediaPipe."""

import pathlib
import re
import shutil

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.quantization.recipe import names
from keras_vit.export.quantization.recipes import RECIPES as ROWS
from keras_vit.export.runtime.runtimes import open_file

PLAIN = (None, "float16", "dynamic_int8")
RECIPES = (*PLAIN, *names(ROWS, lambda recipe: recipe.calibrated))


@pytest.fixture(scope="module")
def files(model, exported, photos, tmp_path_factory):
    """Recipe -> file that takes pixels and gives probabilities, made of one graph."""
    folder, content = tmp_path_factory.mktemp("apps"), exported["tflite"].path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "keras_vit.export.conversion.tflite.write_savedmodel", lambda *_: None
        )
        patch.setattr(
            "keras_vit.export.conversion.tflite.convert",
            lambda _: content.read_bytes(),
        )
        return {
            recipe: export.to_tflite(
                model,
                folder / f"{recipe}.tflite",
                recipe,
                calibration=None if recipe in PLAIN else photos,
                preprocessing="embed",
                classifier_activation="softmax",
                verbose=0,
            )
            for recipe in RECIPES
        }


@pytest.fixture(scope="module")
def pixels():
    """Three images as an app holds them: smooth, so that all readers agree."""
    coarse = np.random.default_rng(5).integers(0, 256, (3, 2, 2, 3))
    return coarse.repeat(16, axis=1).repeat(16, axis=2).astype("uint8")


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_model(recipe, files, pixels):
    """LiteRT's newer API gives the interpreter's answers."""
    from ai_edge_litert.compiled_model import CompiledModel

    runtime = open_file(files[recipe])
    expected, output = runtime(pixels)[0], runtime.outputs[0]

    compiled = CompiledModel.from_file(str(files[recipe].path))
    inputs = compiled.create_input_buffers(0)
    outputs = compiled.create_output_buffers(0)
    got = []
    for image in pixels:
        inputs[0].write(image[None])
        compiled.run_by_index(0, inputs, outputs)
        got.append(outputs[0].read(5, np.dtype(output.dtype)))
    np.testing.assert_allclose(output.to_values(np.stack(got)), expected, atol=1e-5)


@pytest.fixture(scope="module")
def mediapipe():
    """The package; it brings TensorFlow Lite of its own along."""
    return pytest.importorskip(
        "mediapipe", reason="needs pip install mediapipe", exc_type=ImportError
    )


def classify(mediapipe, path, image, **options):
    """The categories that ImageClassifier finds, best first."""
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_path=str(path))
    options = vision.ImageClassifierOptions(base_options=base, **options)
    kind = mediapipe.ImageFormat.SRGB
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = classifier.classify(mediapipe.Image(image_format=kind, data=image))
    (only,) = found.classifications
    return only.categories


@pytest.mark.parametrize("recipe", RECIPES)
def test_mediapipe_reads_pixels_and_labels(recipe, files, pixels, model, mediapipe):
    """ImageClassifier takes every recipe's file as it is, and names the classes."""
    expected = open_file(files[recipe])(pixels)[0]

    for image, scores in zip(pixels, expected, strict=True):
        found = classify(mediapipe, files[recipe].path, image)

        got = {category.category_name: category.score for category in found}
        assert set(model.labels) == set(got)
        wanted = [got[name] for name in model.labels]
        np.testing.assert_allclose(wanted, scores, atol=0.005)


def test_the_file_for_android_is_read(model, pixels, mediapipe, converted, tmp_path):
    """As `export_for` writes it: names and probabilities of any image."""
    result = export.export_for(model, tmp_path / "app", "android", verbose=0)
    expected = open_file(result)(pixels[:1])[0][0]

    best, *_ = classify(mediapipe, result.path, pixels[0], max_results=1)

    assert model.labels[expected.argmax()] == best.category_name
    np.testing.assert_allclose(best.score, expected.max(), atol=0.005)


def test_mediapipe_normalises(exported, pixels, model, mediapipe):
    """A file that takes floats says how: the metadata is read, the logits agree."""
    import keras_vit

    expected = model.predict(keras_vit.preprocess_input(pixels), verbose=0)

    for image, logits in zip(pixels, expected, strict=True):
        best, *_ = classify(mediapipe, exported["tflite"].path, image, max_results=1)

        assert model.labels[logits.argmax()] == best.category_name
        np.testing.assert_allclose(best.score, logits.max(), atol=1e-4)


def test_the_guide_s_snippet_runs(exported, files, mediapipe, tmp_path, monkeypatch):
    """As it stands in docs/apps.md, with a file and a photo beside it."""
    text = (pathlib.Path(__file__).parents[3] / "docs" / "apps.md").read_text()
    (snippet,) = re.findall(r"```py\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(files["dynamic_int8"].path, "mediapipe.tflite")

    exec(snippet, {"photo": np.zeros((48, 64, 3), "uint8")})
