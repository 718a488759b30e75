"""SavedModels that take encoded images, and run without this package."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import export
from keras_vit.export.conversion import decode_ops
from keras_vit.preprocess import preprocess_image_file

SIGNATURES = {
    "serving_default": {},
    "classify_jpeg": {
        "preprocessing": "decode",
        "classifier_activation": "softmax",
        "top": 2,
    },
    "frames": {"preprocessing": "embed", "input_size": (48, 80)},
    "large": {"image_size": 64},
}
# Loads the folder in a process that knows nothing of this package.
FRESH = """
import json, sys
sys.modules["keras_vit"] = None
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["classify_jpeg"]
files = tf.stack([tf.io.read_file(name) for name in sys.argv[2:]])
answer = serve(image_bytes=files)
print(json.dumps({name: value.numpy().tolist() for name, value in answer.items()}))
"""
# Operators that call Python, which another process would not have.
CALLS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
NOTES = [
    keras_vit.Preprocessing((32, 40), crop=0.9, interpolation="nearest"),
    keras_vit.Preprocessing((32, 40), interpolation="bilinear", antialias=False),
    keras_vit.Preprocessing((32, 40), interpolation="area", rounding="truncate"),
    keras_vit.Preprocessing((32, 40), resize="short_side", crop=0.875),
    keras_vit.Preprocessing(
        (32, 40), "google", "short_side", 0.9, "bicubic", True, "each_pass"
    ),
    keras_vit.Preprocessing(
        (32, 32),
        resize="short_side",
        interpolation="bicubic",
        antialias=False,
        geometry="tensorflow",
    ),
]


@pytest.fixture(scope="module")
def noted(tiny):
    """A model with a preparation that shows: bicubic, cropped, whole levels."""
    return tiny(labels=list("abcde"), preprocessing=NOTES[4].resized((32, 32)))


@pytest.fixture(scope="module")
def saved(noted, tmp_path_factory):
    """Its SavedModel, with four signatures."""
    path = tmp_path_factory.mktemp("adapters") / "saved"
    return export.to_savedmodel(noted, path, signatures=SIGNATURES, verbose=0)


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
@pytest.mark.parametrize("size", [(37, 90), (61, 20)])
def test_images_are_prepared_as_the_model_says(note, size):
    """The graph gives the very pixels of `Preprocessing`, for any size of image."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype="uint8")

    expected = note.resize_images(image)

    got = decode_ops.resize(image, note)
    np.testing.assert_allclose(got, expected, atol=1e-3)


def serve_here(path, files):
    """The answer in this process, of operators that stand in the file alone."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(path)).signatures["classify_jpeg"]
    graph = serve.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert not CALLS & {node.op for node in nodes}
    answer = serve(image_bytes=tf.stack([tf.io.read_file(str(f)) for f in files]))
    return {name: value.numpy().tolist() for name, value in answer.items()}


def serve_afresh(path, files):
    """The answer of a process that cannot import this package."""
    run = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, str(path), *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "serve", [serve_here, pytest.param(serve_afresh, marks=pytest.mark.slow)]
)
def test_encoded_images_without_this_package(
    serve, noted, saved, tmp_path, assert_best
):
    """TensorFlow alone classifies JPEG and PNG files of different sizes."""
    rng, files = np.random.default_rng(3), []
    for kind, size in (("jpeg", (50, 70)), ("png", (33, 20)), ("jpeg", (64, 64))):
        pixels = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
        image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        files.append(tmp_path / f"{len(files)}.{kind}")
        image.save(files[-1])
    images = np.stack([preprocess_image_file(f, noted.preprocessing) for f in files])
    logits = noted.predict(images, verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    answer = serve(saved.path, files)

    assert {"classes", "probabilities"} == set(answer)
    assert_best(answer["classes"], answer["probabilities"], expected, 1e-3)


def test_every_signature_is_proven_and_shares_the_weights(noted, saved):
    """Names, shapes and one copy of the variables, at two image sizes."""
    assert set(SIGNATURES) == set(saved.signatures)
    assert ["image float32 (None, 32, 32, 3)"] == [str(t) for t in saved.inputs]
    stored = sum(f.stat().st_size for f in (saved.path / "variables").iterdir())
    table = noted.get_layer("patch_encoder").table.embedding
    assert stored < 4 * (noted.count_params() + 4 * np.prod(table.shape)) + 20_000


def test_labels_lie_beside_the_graph(saved):
    """In the folder that TensorFlow leaves for such things."""
    text = (saved.path / "assets.extra" / "labels.txt").read_text("utf-8")

    assert "a\nb\nc\nd\ne" == text


def test_damaged_images_are_an_error(saved):
    """Bytes that are no image do not become an answer."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(saved.path)).signatures["classify_jpeg"]

    with pytest.raises(tf.errors.InvalidArgumentError, match="image file format"):
        serve(image_bytes=tf.constant([b"no image"]))


def test_decoding_is_for_colours(tiny, tmp_path):
    """Files become three channels, which a grey model does not take."""
    with pytest.raises(ValueError, match="'decode' gives three colours.*Use 'embed'"):
        export.to_savedmodel(tiny(channels=1), tmp_path / "s", preprocessing="decode")
    assert [] == list(tmp_path.iterdir())


def test_decoding_is_for_savedmodels(tiny, tmp_path):
    """TFLite has no operator for it."""
    with pytest.raises(ValueError, match="preprocessing: must be one of None, 'embed'"):
        export.to_tflite(tiny(), tmp_path / "m.tflite", preprocessing="decode")
