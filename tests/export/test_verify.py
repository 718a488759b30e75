import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import Preprocessing, export
from keras_vit.errors import ExportMismatch
from keras_vit.export.comparison.running_tally import Comparison
from keras_vit.export.images.image_folder import LabelledFolder
from keras_vit.export.io.io_spec import Contract, TensorSpec, contract_of
from keras_vit.export.runtime.differences import Tally, decibels
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.timing import interleaved
from keras_vit.intervals import Change


@pytest.fixture(scope="module")
def reports(model, exported, photos, answers):
    """`verify` of each file; every tenth label is wrong on purpose."""
    labels = answers.copy()
    labels[::10] = (labels[::10] + 1) % 5
    return {
        name: export.verify(model, result, photos, labels, verbose=0)
        for name, result in exported.items()
    }


@pytest.mark.parametrize("name", ["savedmodel", "tflite", "onnx"])
def test_float_files_pass(name, reports, exported):
    """Same logits, same choices, 90% of the labels as constructed."""
    report = reports[name]

    assert report.passed and [] == report.reasons
    assert (exported[name].format, "float32") == (report.format, report.precision)
    assert (40, 90.0, 90.0, 100.0) == (
        report.images,
        report.top1_keras,
        report.top1,
        report.agreement,
    )
    assert report.mean_difference <= report.largest_difference < 1e-4
    assert report.signal_to_noise_db > 80
    assert report.size_bytes == exported[name].size_bytes


def test_int8_is_measured_honestly(reports):
    """Its differences are far above rounding and far below the signal."""
    report = reports["int8"]

    assert "int8" == report.precision
    assert 1e-4 < report.largest_difference
    assert 20 < report.signal_to_noise_db < 80
    assert report.operators["FULLY_CONNECTED"] > 5


def test_time_is_a_ratio_to_keras(reports):
    """Both sides are measured, in milliseconds of processor time."""
    for report in reports.values():
        assert report.milliseconds_keras > 0 and report.milliseconds > 0
        ratio = report.milliseconds / report.milliseconds_keras
        np.testing.assert_allclose(ratio, report.time_ratio)


def test_reports_are_json_and_readable(reports):
    """`to_dict` survives JSON without infinities; `str` names the verdict."""
    for report in reports.values():
        facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert facts["identical"] == (facts["signal_to_noise_db"] is None)
        assert (40, True) == (facts["change"]["images"], facts["top1_interval"][0] < 80)
        assert facts["passed"] is True
        assert ["image"] == [tensor["name"] for tensor in facts["inputs"]]
        assert "passed" in str(report) and "top-1 " in str(report)


def test_any_iterable_of_batches_will_do(model, exported, photos, answers, reports):
    """Generators, lists and tf.data give the figures of the array."""
    import tensorflow as tf

    pairs = [(photos[:7], answers[:7]), (photos[7:], answers[7:])]
    data = tf.data.Dataset.from_tensor_slices((photos, answers)).batch(9)
    for batches in (pairs, iter(pairs), data, data.map(lambda x, y: (x, y[:, None]))):
        report = export.verify(model, exported["onnx"], batches, verbose=0)
        assert (40, 100.0) == (report.images, report.top1)
        assert report.largest_difference < 1e-4

    alone = export.verify(model, exported["onnx"], list(photos[:3]), verbose=0)
    assert (3, None, None) == (alone.images, alone.top1, alone.top1_keras)
    data = tf.data.Dataset.from_tensor_slices((photos[:5], answers[:5]))
    for singly in (data, zip(photos[:5], answers[:5], strict=True)):
        found = export.verify(model, exported["onnx"], singly, verbose=0)
        assert (5, 100.0) == (found.images, found.top1)
    one_hot = np.eye(5)[answers]
    report = export.verify(model, exported["onnx"], photos, one_hot, verbose=0)
    assert 100.0 == report.top1


def test_the_file_of_other_weights_fails(tiny, exported, photos):
    """Same shapes, other numbers: an error, or a report that says why."""
    other = tiny()
    other.get_layer("norm").gamma.assign(np.ones(16))

    with pytest.raises(ExportMismatch, match="Keras model does.*layers=True") as error:
        export.verify(other, exported["onnx"], photos, verbose=0)
    report = export.verify(
        other, exported["onnx"], photos, on_failure="report", verbose=0
    )

    assert not report.passed and not error.value.report.passed
    assert "logits has a largest difference" in report.reasons[0]
    assert "worst at index" in report.where
    assert "FAILED" in str(report)


def test_lost_accuracy_fails(model, exported):
    """An 8-bit file within its noise still may not lose its top-1."""
    runtime = open_file(exported["int8"])
    expected = np.full((100, 5), 5.0, "float32")
    expected[:, 2] += 0.01
    got = expected.copy()
    got[:3, 4] += 0.02

    comparison = Comparison(runtime, contract_of(model, True))
    comparison.add([expected], [got], np.full(100, 2))
    strict = comparison.verification(0.5, 1.0, 1.0)
    loose = comparison.verification(3.0, 1.0, 1.0)

    assert (100.0, 97.0, 97.0) == (strict.top1_keras, strict.top1, strict.agreement)
    assert ["top-1 falls by 3.00 points on 100 images (at most 0.5 wanted)"] == (
        strict.reasons
    )
    assert Change(100, 3, 0, 3) == strict.change
    assert "top-1 97.00% (91.5 to 99.0), Keras 100.00% (96.3 to 100.0)" in str(strict)
    assert "no difference that 100 images can show (3 changed, 0 for the" in str(strict)
    assert loose.passed


@pytest.mark.parametrize(
    ("precision", "wrong", "passes"), [("int8", 2, False), ("int4", 2, True)]
)
def test_four_bits_may_lose_more(
    precision, wrong, passes, model, exported, monkeypatch
):
    """1 point of 200 images: too much for 8 bits, allowed for 4, if none is named."""
    runtime = open_file(exported["int8"])
    monkeypatch.setattr(type(runtime), "precision", precision)
    expected = np.full((200, 5), 5.0, "float32")
    expected[:, 2] += 0.01
    got = expected.copy()
    got[:wrong, 4] += 0.02

    comparison = Comparison(runtime, contract_of(model, True))
    comparison.add([expected], [got], np.full(200, 2))

    assert passes == comparison.verification(None, 1.0, 1.0).passed
    assert not comparison.verification(0.9, 1.0, 1.0).passed


@pytest.mark.parametrize("points", [-1, 101, float("nan"), "1"])
def test_points_are_points(points, model, photos, tmp_path):
    """Checked before anything is read or written."""
    message = f"max_points_lost: must be points.*got {points!r}. 0.5 is usual"
    with pytest.raises(ValueError, match=message):
        export.verify(model, "no.onnx", photos, max_points_lost=points)
    with pytest.raises(ValueError, match=message):
        export.export_all(model, tmp_path / "out", photos, max_points_lost=points)


def test_the_best_five_and_the_confusions_are_counted(exported):
    """Of both sides, by name, the most frequent disagreement first."""
    expected = np.tile(np.arange(7.0, dtype="float32"), (4, 1))
    got = expected.copy()
    got[0, 5] = got[1, 5] = got[2, 4] = 9.0
    got[3] = -got[3]

    names = list("abcdefg")
    comparison = Comparison(open_file(exported["onnx"]), contract_of_seven())
    comparison.add([expected], [got], np.array([6, 2, 5, 6]))
    report = comparison.verification(50.0, 1.0, 1.0, names)

    assert (100.0, 75.0) == (report.top5_keras, report.top5)
    assert [("g", "f", 2), ("g", "e", 1), ("g", "a", 1)] == [
        tuple(row.values()) for row in report.confusions
    ]


def contract_of_seven():
    """The adapter of a model with seven classes."""
    image = TensorSpec("image", "float32", (None, 32, 32, 3))
    return Contract(image, (TensorSpec("logits", "float32", (None, 7)),), "google")


def test_the_file_of_another_model_is_refused(tiny, exported, photos):
    """A file with other classes or another image size is not compared at all."""
    with pytest.raises(ExportMismatch, match=r"\(None, 7\), got logits .*\(1, 5\)"):
        export.verify(tiny(classes=7), exported["onnx"], photos, verbose=0)


def test_wrong_paths(model, photos, tmp_path, exported):
    """Missing, unknown and damaged files are told apart."""
    (tmp_path / "a.txt").write_text("no model")
    (tmp_path / "a.onnx").write_bytes(b"no model")
    whole = exported["tflite"].path.read_bytes()
    (tmp_path / "a.tflite").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(FileNotFoundError, match="no such file.*Export first"):
        export.verify(model, tmp_path / "b.tflite", photos)
    with pytest.raises(ValueError, match="SavedModel folder, a .tflite or an .onnx"):
        export.verify(model, tmp_path / "a.txt", photos)
    with pytest.raises(ValueError, match="SavedModel folder, a .tflite or an .onnx"):
        export.verify(model, tmp_path, photos)
    with pytest.raises(ValueError, match="None for .*onnx files have one, got 'zzz'"):
        export.verify(model, exported["onnx"], photos, signature="zzz")
    with pytest.raises(ValueError, match="readable onnx file.*Export it again"):
        export.verify(model, tmp_path / "a.onnx", photos)
    with pytest.raises(ValueError, match="readable tflite file.*Export it again"):
        export.verify(model, tmp_path / "a.tflite", photos)


SHAPE = r"\(N, 32, 32, 3\)"


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((2, 16, 16, 3)), None, ValueError, rf"{SHAPE}, got shape \(2, 16"),
        (np.zeros((32, 32, 3)), None, ValueError, rf"{SHAPE}, got shape \(32, 32, 3\)"),
        (np.zeros((0, 32, 32, 3)), None, ValueError, "at least one image, got none"),
        ([], None, ValueError, SHAPE),
        (iter(()), None, ValueError, "at least one batch, got none"),
        (
            np.full((2, 32, 32, 3), np.nan),
            None,
            ValueError,
            "NaN or infinity in image 0",
        ),
        (
            np.zeros((2, 32, 32, 3), "uint8"),
            None,
            ValueError,
            "preprocess_input.*google",
        ),
        (np.zeros((2, 32, 32, 3), bool), None, TypeError, "numbers, got dtype bool"),
        (7, None, TypeError, "iterable of batches, got int"),
        (
            np.zeros((2, 32, 32, 3)),
            [1],
            ValueError,
            r"each of 2 images, got shape \(1,",
        ),
        (np.zeros((2, 32, 32, 3)), [1, 5], ValueError, "0 to 4, got 1 to 5. They seem"),
        (np.zeros((2, 32, 32, 3)), [0.5, 1.0], ValueError, "whole numbers"),
        ([np.zeros((1, 32, 32, 3))], [1], ValueError, "give .images, labels. pairs"),
        (np.zeros((2, 32, 32, 3)), ["a", "b"], ValueError, "'a'. Pass indices: .model"),
        (np.zeros((2, 32, 32, 3)), [None, 1], ValueError, "object such as None"),
        ("photos", None, TypeError, "got the path 'photos'. Read a folder with keras"),
        (["a.png"], None, TypeError, "arrays of numbers, got str. Give .N, H, W, C"),
        ([{"image": 1}], None, TypeError, "arrays of numbers, got dict"),
        ([Image.new("RGB", (32, 32))], None, TypeError, "of Pillow. Prepare each with"),
    ],
)
def test_wrong_images_and_labels(images, labels, error, message, model, exported):
    """Each mistake has one clear sentence."""
    with pytest.raises(error, match=message):
        export.verify(model, exported["onnx"], images, labels, verbose=0)


def test_endless_datasets_are_refused(model, exported, photos):
    """A repeated dataset would be read for ever."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(photos).batch(4).repeat()

    with pytest.raises(ValueError, match="repeats for ever.*take"):
        export.verify(model, exported["onnx"], data)


def test_labels_need_scores(tiny, photos, tmp_path):
    """Features have no classes to compare labels with."""
    model = tiny(include_top=False, pooling=None)
    path = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    with pytest.raises(ValueError, match="got features. Leave labels out"):
        export.verify(model, path, photos[:2], [0, 1], verbose=0)
    assert export.verify(model, path, photos[:2], verbose=0).agreement is None


def test_interleaving_takes_turns():
    """Each call is warmed up twice and then timed in rounds."""
    order = []
    calls = [lambda x: order.append("a"), lambda x: order.append("b")]

    times = interleaved(calls, None)

    assert list("aabb") == order[:4]
    assert list("ab") * 15 == order[4:]
    assert 2 == len(times) and all(t >= 0 for t in times)


def test_noise_where_nothing_should_be_is_not_called_identical():
    """Zeros that became something have no decibels, nor have equal outputs."""
    silent, same = Tally(), Tally()
    silent.add(np.zeros((1, 3)), np.ones((1, 3)))
    same.add(np.ones((1, 3)), np.ones((1, 3)))

    assert ["noise alone", "identical"] == [
        decibels(tally.decibel) for tally in (silent, same)
    ]
    assert "noise alone" in silent.complaint("int8") and "" == same.complaint("int8")


def test_a_proof_that_lost_labels_or_images_is_not_called_passed(
    model, exported, photos, answers, tmp_path
):
    """It does not fail either; what is missing stands in the result and its JSON."""
    path = exported["onnx"].path
    some = [(photos[:32], answers[:32]), photos[32:]]
    report = export.verify(model, path, some, verbose=0)
    assert report.passed and "only 32 of 40 images have labels" in report.verdict
    assert report.verdict in str(report) and report.lost == report.to_dict()["notes"]

    for name in ("dog/0.png", "dog/1.heic"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(file, "PNG")
    folder = LabelledFolder(tmp_path / "photos", Preprocessing((32, 32)), names=["cat"])
    report = export.verify(model, path, folder, verbose=0)
    assert 1 == report.images and report.top1 is None
    assert "incomplete proof: left out, .heic" in str(report)
    assert "no folder is named as a label of the model" in report.lost[-1]
    assert len(folder.notes) == len(report.notes)
