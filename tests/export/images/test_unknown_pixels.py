"""A file is not given pixels of a guessed range, unsaid."""

import keras
import numpy as np
import onnxruntime
import pytest

from keras_vit import Preprocessing, export
from keras_vit.export.comparison.running_tally import Comparison
from keras_vit.export.formats.tflite.metadata import describe
from keras_vit.export.images.batches import Batches
from keras_vit.export.io.io_spec import contract_of
from keras_vit.export.io.model_views import features_of
from keras_vit.export.io.reference import Reference
from keras_vit.export.io.signature import plan
from keras_vit.export.report.gallery import Gallery
from keras_vit.export.runtime.runtimes import open_file


@pytest.fixture(scope="module")
def clone(model):
    """A copy that lost its note."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def test_embedding_is_refused_where_nothing_states_the_range(clone, never, tmp_path):
    """With the way out, before anything slow."""
    for write, name in ((export.to_onnx, "m.onnx"), (export.to_tflite, "m.tflite")):
        with pytest.raises(
            ValueError, match="does not say which pixels.*Preprocessing"
        ):
            write(clone, tmp_path / name, preprocessing="embed", verbose=0)


def test_the_caller_may_say_it(clone, tmp_path):
    """A `Preprocessing` in place of "embed" is believed, with any numbers."""
    note = Preprocessing((32, 32), mean=(0.4, 0.45, 0.5), std=0.3)
    made = export.to_onnx(clone, tmp_path / "m.onnx", preprocessing=note, verbose=0)

    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), "uint8")
    (got,) = onnxruntime.InferenceSession(made.path).run(None, {"image": pixels})
    np.testing.assert_allclose(clone(note(pixels)), got, atol=1e-4)
    assert "as the caller says" in str(made)


def test_a_file_that_prepares_pixels_is_not_compared_by_a_guess(clone, tmp_path):
    """`verify` names the missing word; with it, the file passes."""
    note = Preprocessing((32, 32), mode="clip")
    made = export.to_onnx(clone, tmp_path / "m.onnx", preprocessing=note, verbose=0)
    assert '"mode": "clip"' in _fact(made.path, "preprocessing")

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    with pytest.raises(ValueError, match="m.onnx: prepares pixels .* does not say"):
        export.verify(clone, made.path, images, verbose=0)
    said = keras.Model(clone.input, clone.output)
    said.preprocessing = note
    assert export.verify(said, made.path, images, verbose=0).passed


def _fact(path, name):
    pairs = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    return pairs[name]


def test_no_message_and_no_picture_guesses_either(clone):
    """Whole numbers are not said to need -1 to 1; pictures show what is there."""
    contract = contract_of(clone, dynamic_batch=True)
    with pytest.raises(ValueError, match="got uint8 pixels. But the model does not"):
        Batches(np.zeros((1, 32, 32, 3), "uint8"), None, contract)
    bright = np.linspace(0, 1, 3072, dtype="float32").reshape(32, 32, 3)
    pixels = Gallery(contract, 1)._pixels(bright)
    assert (0, 255) == (pixels.min(), pixels.max())


def test_integer_files_read_images_as_they_were_seen(clone, photos, tmp_path):
    """No byte stands for a level of -1 to 1 where nothing says so."""
    images = (photos + 1) / 2
    options = {"quantization": "full_int8", "calibration": images, "verbose": 0}
    made = export.to_tflite(clone, tmp_path / "m.tflite", **options)

    image = open_file(made.path).inputs[0]
    assert (0, pytest.approx(1 / 255, rel=0.01)) == (image.zero, image.scale)


def test_two_words_of_the_caller_must_agree(clone):
    """One model takes one range."""
    notes = (Preprocessing(mode="clip"), Preprocessing(mode="google"))
    asked = {n: {"preprocessing": p} for n, p in zip("ab", notes, strict=True)}
    with pytest.raises(ValueError, match="one model takes one range, got mode='clip'"):
        plan(Reference(clone), asked)


def test_metadata_and_notes_do_not_guess(clone, model):
    """Without a stated range there is none in the metadata, and the notes say so."""
    known, unknown = (plan(Reference(m)) for m in (model, clone))
    sizes = [
        len(describe(f["serving_default"].adapter, "m", None)) for f in (known, unknown)
    ]

    assert sizes[0] > sizes[1]
    assert "does not say which pixels" in Reference(clone).notes[0]
    assert not Reference(model).notes


def test_a_model_inside_speaks_for_the_one_around(model):
    """Its range and its meaning of scores are those of the wrap."""
    wrap = keras.Sequential([keras.Input((32, 32, 3)), model, keras.layers.Softmax()])
    contract = contract_of(wrap, dynamic_batch=True)

    assert (True, "google") == (contract.stated, contract.mode)
    assert "probabilities" == contract.outputs[0].name
    assert "inside says" in Reference(wrap).notes[0]


def test_features_of_a_model_inside_are_not_its_scores(model, photos):
    """What the head inside reads leaves the wrap, not what the head gives."""
    wrap = keras.Sequential([keras.Input((32, 32, 3)), model, keras.layers.Softmax()])
    expected = keras.Model(model.input, features_of(model))(photos[:2])

    got = keras.Model(wrap.inputs[0], features_of(wrap))(photos[:2])

    np.testing.assert_allclose(expected, got, atol=1e-6)
    cooler = keras.Model(model.input, keras.layers.Rescaling(0.5)(model.output))
    assert features_of(cooler) is features_of(model)


def test_labels_of_features_are_refused_not_dropped(model):
    """A proof that lost its labels is not called passed."""
    cut = keras.Model(model.input, model.get_layer("pool").output)
    contract = contract_of(cut, dynamic_batch=True)
    features = [np.zeros((2, 16), "float32")]

    class File:
        """Stands for a runtime."""

    with pytest.raises(ValueError, match="labels: need scores .* got 'features'"):
        Comparison(File(), contract).add(features, features, np.array([0, 1]))
