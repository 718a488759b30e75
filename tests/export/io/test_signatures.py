"""Files that apps can use: pixels in, probabilities out, several signatures, labels."""

import numpy as np
import pytest

import keras_vit
from keras_vit import export
from keras_vit.errors import ExportMismatch, UnsupportedLayer
from keras_vit.export.formats.tflite.assembly import assemble
from keras_vit.export.io.io_adapter import IOAdapter
from keras_vit.export.io.reference import Reference
from keras_vit.export.io.signature import FIELDS, plan
from keras_vit.export.quantization.calibration.saved_ranges import Ranges, fingerprint
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.runtimes import open_file

SIGNATURES = {
    "classify": {"preprocessing": "embed", "top": 2},
    "embed": export.Signature(output="features"),
    "batch": {"batch_size": 4, "classifier_activation": "softmax"},
    "small": {"image_size": 16},
}


@pytest.fixture(scope="module")
def several(model, tmp_path_factory):
    """A file with four signatures and 8-bit weights."""
    path = tmp_path_factory.mktemp("several") / "m.tflite"
    return export.to_tflite(
        model, path, "dynamic_int8", signatures=SIGNATURES, verbose=0
    )


def softmax(logits):
    """Probabilities, (B, K)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def pixels(count, height, width):
    """Random uint8 images."""
    shape = (count, height, width, 3)
    return np.random.default_rng(2).integers(0, 256, shape, dtype="uint8")


def test_uint8_in_and_probabilities_out(model, converted, tmp_path):
    """The file normalises pixels as `preprocess_input`, and ends in a softmax."""
    images = pixels(3, 32, 32)
    ranged = keras_vit.preprocess_input(images)
    expected = softmax(model.predict(ranged, verbose=0))

    result = export.to_tflite(
        model,
        tmp_path / "m.tflite",
        preprocessing="embed",
        classifier_activation="softmax",
        verbose=0,
    )

    assert ["image uint8 (1, 32, 32, 3)"] == [str(t) for t in result.inputs]
    assert ["probabilities float32 (1, 5)"] == [str(t) for t in result.outputs]
    np.testing.assert_allclose(open_file(result)(images)[0], expected, atol=1e-6)
    assert {"CAST", "MUL", "ADD", "SOFTMAX"} <= set(result.operators)


def test_images_of_another_size_are_cropped_and_resized(
    tiny, converted, assert_best, tmp_path
):
    """As TensorFlow crops the centre and resizes, bilinear with half pixels."""
    import tensorflow as tf

    note = keras_vit.Preprocessing((32, 32), "imagenet", "short_side", crop=0.8)
    model, images = tiny(labels=list("abcde"), preprocessing=note), pixels(2, 60, 90)
    side = 48  # 0.8 of the short side
    cut = tf.image.resize(images[:, 6 : 6 + side, 21 : 21 + side], (32, 32))
    ranged = keras_vit.preprocess_input(cut.numpy(), mode="imagenet")
    expected = model.predict(ranged, verbose=0)

    result = export.to_tflite(
        model,
        tmp_path / "m.tflite",
        preprocessing="embed",
        input_size=(60, 90),
        top=2,
        verbose=0,
    )
    classes, scores = open_file(result)(images)

    assert ["image uint8 (1, 60, 90, 3)"] == [str(t) for t in result.inputs]
    assert ["classes", "logits"] == [tensor.name for tensor in result.outputs]
    assert_best(classes, scores, expected, 1e-5)


@pytest.mark.parametrize("recipe", ["static_int8", "full_int8"])
def test_integers_in_two_signatures(recipe, model, photos, tmp_path):
    """An integer recipe goes together with uint8 in, best classes and features out."""
    two = {"classify": {"top": 5}, "embed": {"output": "features"}}
    result = export.to_tflite(
        model,
        tmp_path / "m.tflite",
        recipe,
        calibration=photos,
        preprocessing="embed",
        signatures=two,
        verbose=0,
    )

    assert "int8" == open_file(result).precision
    assert result.signal_to_noise_db > 20
    assert {"QUANTIZE", "TOPK_V2"} <= set(result.operators)
    assert (recipe == "static_int8") == ("CAST" in result.operators)


def test_several_signatures(model, several, photos, assert_best):
    """Each answers as the model does, at its own batch, size and output."""
    assert tuple(SIGNATURES) == several.signatures
    images = pixels(2, 32, 32)
    ranged = keras_vit.preprocess_input(images)
    expected = model.predict(ranged, verbose=0)

    best = open_file(several, signature="classify")(images)
    features = open_file(several, signature="embed")
    batch = open_file(several, signature="batch")

    assert_best(*best, expected, 0.05)
    assert ["features float32 (1, 16)"] == [str(t) for t in features.outputs]
    got = features(ranged)[0] @ model.get_layer("head").kernel.numpy()
    np.testing.assert_allclose(
        got + model.get_layer("head").bias.numpy(), expected, atol=0.05
    )
    assert (4, 32, 32, 3) == batch.inputs[0].shape
    np.testing.assert_allclose(batch(ranged)[0], softmax(expected), atol=0.02)
    small = open_file(several, signature="small")
    assert (1, 16, 16, 3) == small.inputs[0].shape
    tflite_file.check("m.tflite", tflite_file.audit(several.path), static=True)
    with pytest.raises(ExportMismatch, match="signature 'sort', got.*'classify'"):
        open_file(several, signature="sort")


def test_signatures_share_their_weights(tiny, tmp_path):
    """Two ways to call a model of usual proportions cost little more than one."""
    model = tiny(width=96, heads=3, mlp_dim=384)
    two = {"classify": {}, "embed": {"output": "features"}}

    both = export.to_tflite(model, tmp_path / "two.tflite", signatures=two, verbose=0)
    one = tmp_path / "one.tflite"
    adapter = IOAdapter(Reference(model, dynamic_batch=False).contract)
    assemble(one, [(both.path, {"classify": adapter})], "one", None)

    assert ("classify",) == open_file(one).signatures
    assert both.size_bytes < 1.1 * one.stat().st_size
    assert both.size_bytes > 4 * model.count_params()


def test_another_image_size_keeps_the_weights(tiny, images):
    """At the model's own size, and at another with fixed positions, nothing moves."""
    model = tiny(position="sincos2d")
    adapters = plan(
        Reference(model), {"a": {"image_size": 32}, "b": {"image_size": (32, 16)}}
    )
    other = tiny(position="sincos2d", image_size=(32, 16))
    other.set_weights(model.get_weights())

    expected = other.predict(images[:, :, :16], verbose=0)

    got = adapters["b"].finite_answers(images[:, :, :16])[0]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    got = adapters["a"].finite_answers(images)[0]
    np.testing.assert_allclose(got, model.predict(images, verbose=0), atol=1e-6)


def test_wrong_answers_of_a_top_signature_are_seen(model):
    """Missing the best class, or naming another, is a difference."""
    scores = np.float32([[0.0, 1.0, 5.0, 3.0, 2.0]])
    view = IOAdapter(Reference(model).contract).view
    adapter = IOAdapter(view, top=2)

    right = adapter.complete([scores], [np.int32([[2, 3]]), np.float32([[5.0, 3.0]])])
    missed = adapter.complete([scores], [np.int32([[3, 4]]), np.float32([[3.0, 2.0]])])
    renamed = adapter.complete([scores], [np.int32([[1, 3]]), np.float32([[5.0, 3.0]])])

    np.testing.assert_array_equal(right[0], scores)
    assert 3.0 == np.abs(missed[0] - scores).max()
    assert 4.0 == np.abs(renamed[0] - scores).max()


PLANS = {
    "kind": ({"preprocessing": "resize"}, ValueError, "'embed', got 'resize'"),
    "size": ({"input_size": 64}, ValueError, "goes with preprocessing='embed'.*64"),
    "side": (
        {"preprocessing": "embed", "input_size": 0},
        ValueError,
        "input_size: must be 1 px or more, got 0",
    ),
    "activation": ({"classifier_activation": "relu"}, ValueError, "'softmax'.*'relu'"),
    "many": ({"top": 6}, ValueError, "top: .* 1 to 5, .* got 6. Use"),
    "none": ({"top": 0}, ValueError, "from 1 to 5.*got 0"),
    "output": ({"output": "tokens"}, ValueError, "'scores', 'features', got 'tokens'"),
    "both": (
        {"output": "features", "top": 1},
        ValueError,
        "top: goes with output='scores'.*Give this",
    ),
    "batch": ({"batch_size": 0}, ValueError, "batch_size: .*above 0, got 0. Use 1"),
    "grid": ({"image_size": 30}, ValueError, "whole patches, got 30x30 px.*of 8x8"),
    "unknown": ({"topk": 5}, TypeError, "options must be among.*got 'topk'. Correct"),
    "names": (
        {"signatures": {"a b": {}}},
        ValueError,
        "identifiers, got 'a b'. Use 'classify'",
    ),
    "empty": ({"signatures": {}}, TypeError, "dict of names and options, got {}. Pass"),
    "list": ({"signatures": {"a": 5}}, TypeError, r"signatures\['a'\].*got 5"),
    "inner": (
        {"signatures": {"a": {"top": 9}}},
        ValueError,
        r"signatures\['a'\]: top: .*got 9",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_cannot_be_made_is_refused_first(name, model, never, tmp_path):
    """Options that do not go together: which, and what to do."""
    options, kind, message = PLANS[name]

    with pytest.raises(kind, match=message):
        export.to_tflite(model, tmp_path / "m.tflite", **options)
    assert [] == list(tmp_path.iterdir())


def test_models_without_scores(tiny, never, tmp_path):
    """Probabilities are no logits, features have no best, tokens are no features."""
    soft = tiny(classifier_activation="softmax")
    tokens = tiny(include_top=False, pooling=None)
    path = tmp_path / "m.tflite"

    with pytest.raises(ValueError, match="gives logits, got probabilities. Leave"):
        export.to_tflite(soft, path, classifier_activation="softmax")
    with pytest.raises(ValueError, match="one score per class, got features. Leave"):
        export.to_tflite(tokens, path, top=1)
    with pytest.raises(ValueError, match=r"one vector per image.*\(None, 17, 16\)"):
        export.to_tflite(tokens, path, output="features")


def test_sizes_that_the_weights_do_not_know(tiny, never, tmp_path):
    """Relative positions belong to one size; the layer is named."""
    model = tiny(position="relative")

    with pytest.raises(UnsupportedLayer, match="'block_0' belong to one.*'learned2d'"):
        export.to_tflite(model, tmp_path / "m.tflite", image_size=16)


def test_calibration_is_for_one_size(model, photos, never, tmp_path):
    """Ranges of one size and batch do not pass for those of another."""
    with pytest.raises(ValueError, match="static_int8.*another in 'b'.*dynamic_int8"):
        export.to_tflite(
            model,
            tmp_path / "m.tflite",
            "static_int8",
            calibration=photos,
            signatures={"a": {}, "b": {"batch_size": 2}},
        )


def test_saved_ranges_are_for_the_model_alone(model, never, tmp_path):
    """They were taken in a graph without the layer that gives features."""
    known = Ranges(fingerprint(model), 32, {}, {}, {})

    with pytest.raises(ValueError, match="calibration: saved ranges.*Pass the images"):
        export.to_tflite(
            model,
            tmp_path / "m.tflite",
            "static_int8",
            calibration=known,
            output="features",
        )


def test_verify_compares_what_a_signature_gives(model, several, photos, answers):
    """Pixels in, best classes out: the same figures, and the report says of what."""
    report = export.verify(
        model, several, photos, answers, signature="classify", verbose=0
    )

    assert report.passed and 40 == report.images
    assert report.agreement > 90 and report.top1 > 90
    assert "uint8 pixels of 32x32, prepared by the file" in report.compared
    assert "2 best classes and their logits" in str(report)
    features = export.verify(model, several, photos, signature="embed", verbose=0)
    assert features.agreement is None and features.signal_to_noise_db > 20


@pytest.mark.parametrize("signature", ["classify", "embed", "batch"])
def test_every_signature_is_compared_block_by_block(signature, model, several, photos):
    """Its own graph, on the images that it makes of what it takes."""
    report = export.verify(
        model, several, photos[:8], layers=True, signature=signature, verbose=0
    )

    assert "" == report.layers.note and 5 == len(report.layers.points)
    assert min(report.layers.points.values()) > 20
    assert report.half["fits"]


def test_a_benchmark_calls_the_signature_that_is_asked_for(several):
    """By default the first of the file, not of the alphabet."""
    first, small = (
        np.zeros((1, 32, 32, 3), "uint8"),
        np.zeros((1, 16, 16, 3), "float32"),
    )

    for images, signature in ((first, None), (small, "small")):
        result = export.benchmark(
            several, images, threads=1, rounds=1, signature=signature, verbose=0
        )
        assert result.rows[0].timings[1].median_ms > 0
    with pytest.raises(ValueError, match="one of classify, embed.*got 'x'. Leave it"):
        export.benchmark(several, signature="x", verbose=0)


def test_verify_takes_pixels(model, several):
    """An array of bytes goes straight to a file that takes bytes."""
    report = export.verify(model, several, pixels(5, 32, 32), verbose=0)

    assert report.passed and 5 == report.images
    with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\), got shape \(2, 16"):
        export.verify(model, several, pixels(2, 16, 16), verbose=0)


def test_verify_sees_wrong_probabilities(tiny, several, photos):
    """The signatures of another model's file do not pass."""
    other = tiny()
    other.get_layer("norm").gamma.assign(-other.get_layer("norm").gamma)

    for name in ("classify", "embed", "batch"):
        with pytest.raises(ExportMismatch, match="must answer as the Keras model"):
            export.verify(other, several, photos, signature=name, verbose=0)


@pytest.mark.parametrize("opset", [18, 20])
def test_onnx_has_the_same_faces(model, converted, opset, assert_best, tmp_path):
    """Pixels of another size in, best classes out, as in TFLite, with an open batch."""
    options = {
        "preprocessing": "embed",
        "input_size": (48, 80),
        "classifier_activation": "softmax",
        "top": 3,
        "labels": list("vwxyz"),
        "verbose": 0,
    }
    tflite = export.to_tflite(model, tmp_path / "m.tflite", **options)
    options["dynamic_batch"] = True

    onnx = export.to_onnx(model, tmp_path / "m.onnx", opset=opset, **options)

    images = pixels(3, 48, 80)
    adapter = {name: options[name] for name in FIELDS if name in options}
    (adapted,) = plan(Reference(model), **adapter).values()
    (expected,) = adapted(images)
    assert ["image uint8 (None, 48, 80, 3)"] == [str(t) for t in onnx.inputs]
    assert ["classes", "probabilities"] == [tensor.name for tensor in onnx.outputs]
    for file in (tflite, onnx):
        assert_best(*open_file(file)(images), expected, 1e-5)
    assert export.verify(model, onnx, images, verbose=0).passed
    session = open_file(onnx)._session
    assert (
        '["v", "w", "x", "y", "z"]'
        == (session.get_modelmeta().custom_metadata_map["labels"])
    )


def test_onnx_has_one_signature(model, tiny, tmp_path):
    """Several, and options that nobody knows, are refused by name."""
    path = tmp_path / "m.onnx"
    with pytest.raises(TypeError, match="onnx file has one, got .'a': .*to_savedmodel"):
        export.to_onnx(model, path, signatures={"a": {}})
    with pytest.raises(TypeError, match="among preprocessing, .*got 'preparations'"):
        export.to_onnx(model, path, preparations=("decode",))
    with pytest.raises(ValueError, match="needs two classes or more, got one"):
        export.to_onnx(tiny(classes=1), path, classifier_activation="softmax")


def test_onnx_features(model, photos, tmp_path):
    """What the head reads; the model's notes travel along."""
    result = export.to_onnx(
        model,
        tmp_path / "m.onnx",
        "static_int8",
        calibration=photos,
        output="features",
        preprocessing="embed",
        verbose=0,
    )

    assert ["features float32 (1, 16)"] == [str(t) for t in result.outputs]
    notes = open_file(result)._session.get_modelmeta().custom_metadata_map
    assert {"preprocessing", "labels"} <= set(notes)
