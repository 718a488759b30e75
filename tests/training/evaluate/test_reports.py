"""Scores of one pass: calibration, mistakes, reassessed labels; probes by name."""

import csv
import importlib
import json
import math

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import training
from keras_vit.errors import DataError
from keras_vit.training import evaluate
from keras_vit.training.evaluate.calibration import Bin
from keras_vit.training.evaluate.predictions import log_probabilities

LOGITS = np.log([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
LABELS = np.array([0, 1, 2, 0])


class Scripted:
    """A model that gives prepared answers, and knows the names of its classes."""

    labels = ("ant", "bee", "cat")

    def __init__(self, *answers):
        self.answers = list(answers)

    def predict_on_batch(self, images):
        return np.array(self.answers.pop(0), "float32")


def report_of(scores, **options):
    """A report on four images in two batches."""
    data = [(np.zeros((3, 1)), LABELS[:3]), (np.zeros((1, 1)), LABELS[3:])]
    return evaluate.report(Scripted(scores[:3], scores[3:]), data, verbose=0, **options)


@pytest.mark.parametrize("scores", [LOGITS, LOGITS + 5.0, np.exp(LOGITS)])
def test_one_pass_gives_every_score(scores):
    """From logits, shifted logits and probabilities alike, by the formulas."""
    report = report_of(scores, k=(1, 2))

    assert {"top1": 0.5, "top2": 1.0} == pytest.approx(report.top)
    assert 4 == report.count
    expected = -np.log([0.7, 0.3, 0.6, 0.1]).mean()
    assert expected == pytest.approx(report.log_loss, abs=1e-5)
    # 0.7 right, 0.6 once right and once wrong, 0.8 wrong: each in a bin of its own
    expected = (abs(1 - 0.7) + 2 * abs(0.5 - 0.6) + abs(0 - 0.8)) / 4
    assert expected == pytest.approx(report.calibration_error, abs=1e-5)


def test_mistakes_are_counted_by_name():
    """Rows of the matrix are right classes; a table per class; names are known."""
    report = report_of(LOGITS)
    rows = {row["name"]: row for row in report.per_class()}

    assert [[1, 1, 0], [1, 0, 0], [0, 0, 1]] == report.confusion.tolist()
    assert [("ant", "bee", 1), ("bee", "ant", 1)] == report.confused()
    assert {"name": "ant", "count": 2, "recall": 0.5, "precision": 0.5, "f1": 0.5} == (
        rows["ant"]
    )
    assert 1.0 == rows["cat"]["f1"] and 0.0 == rows["bee"]["f1"]
    assert "top-1 50.00% (15.0 to 85.0), " in str(
        report
    ) and "'ant' taken for 'bee'" in str(report)
    facts = json.loads(json.dumps(report.to_dict()))
    assert facts["count"] == 4 and 0.15 == round(facts["top1_interval"][0], 2)
    with pytest.raises(ValueError, match="must be 3.*got 2"):
        report_of(LOGITS, class_names=["a", "b"])


def test_bins_are_closed_above():
    """A confidence on a border belongs below it; 0 and 1 have a place."""
    bins = evaluate.calibration_bins(
        np.array([0.0, 0.5, 0.51, 1.0]), np.array([False, True, True, True]), bins=2
    )

    assert (Bin(2, 0.25, 0.5), Bin(2, 0.755, 1.0)) == bins
    with pytest.raises(ValueError, match="1 or more, got 0"):
        evaluate.calibration_bins(np.zeros(1), np.zeros(1, bool), bins=0)


def test_a_model_that_knows_how_much_it_knows_has_no_error():
    """Answers drawn with their own probability have an error near 0; overconfident
    ones do not."""
    rng = np.random.default_rng(0)
    log_p = log_probabilities(2.0 * rng.normal(size=(20_000, 4)))
    best = log_p.argmax(axis=1)
    confidence = np.exp(log_p.max(axis=1))
    noise = rng.gumbel(size=log_p.shape)
    right = (log_p + noise).argmax(axis=1) == best
    too_sure = np.minimum(1.0, confidence + 0.2)

    error = evaluate.calibration_error(evaluate.calibration_bins(confidence, right))
    assert error < 0.02
    assert 0.1 < evaluate.calibration_error(evaluate.calibration_bins(too_sure, right))


@pytest.mark.parametrize("classes", [3, 60])
def test_the_confusion_picture(classes, tmp_path):
    """The diagonal of a perfect model is dark, the rest is white; never overwritten."""
    names = [f"a class with a long name {k}" for k in range(classes)]
    path = tmp_path / "c.png"
    written = evaluate.plot_confusion(7 * np.eye(classes, dtype=int), names, path)

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    cell = 38 if classes == 3 else -(-1000 // classes)
    left = pixels.shape[0] - classes * cell - 8
    squares = pixels[left : left + classes * cell, left : left + classes * cell]
    corners = squares[2::cell, 2::cell]  # beside the numbers
    assert path == written
    assert (corners[np.eye(classes, dtype=bool)] < 80).all()
    assert (corners[~np.eye(classes, dtype=bool)] == 255).all()
    if classes == 3:
        assert pixels[left : left + cell * 3, :left].min() < 100  # names on the left
        assert pixels[:left, left : left + cell * 3].min() < 100  # and on top
    assert pixels[left:, :28].min() < 150 > pixels[:28, left:].min()  # words of axes
    with pytest.raises(FileExistsError):
        evaluate.plot_confusion(np.eye(classes), names, path)
    with pytest.raises(ValueError, match="with a name each, got 2 classes and 1 names"):
        evaluate.plot_confusion(np.eye(2), ["a"], tmp_path / "d.png")


@pytest.fixture
def validation(tmp_path):
    """Three images of ImageNet's validation split, and reassessed labels of four."""
    for folder, number in (("n01440764", 3), ("n01440764", 1), ("n01443537", 4)):
        place = tmp_path / "images" / "val" / folder
        place.mkdir(parents=True, exist_ok=True)
        name = f"ILSVRC2012_val_{number:08d}.png"
        keras.utils.save_img(place / name, np.full((8, 8, 3), 9.0), scale=False)
    path = tmp_path / "real.json"
    path.write_text(json.dumps([[0, 5], [], [], [7]]))
    return f"folder:{tmp_path / 'images'}", path


def test_reassessed_labels_follow_the_file_numbers(validation):
    """In the order of the data; images without a label are left out of the score."""
    source, path = validation
    labels = evaluate.real_labels(path, training.image_names(source))
    scores = np.zeros((3, 1000))
    scores[[0, 1, 2], [5, 5, 8]] = 1.0  # files 1, 3, 4
    found = evaluate.real(Scripted(scores), [(None, np.zeros(3, int))], labels, 0)

    assert [(0, 5), (), (7,)] == labels
    assert {"real": 0.5, "count": 2, "excluded": 1} == found
    with pytest.raises(ValueError, match="1000 outputs.*got 3 outputs and 3 lists"):
        evaluate.real(Scripted(LOGITS), [(None, LABELS)], labels, 0)


def test_what_has_no_reassessed_labels_is_refused(validation, tmp_path):
    """Other names, other files, and data without files are named."""
    source, path = validation
    with pytest.raises(DataError, match="photo.jpg: must be named.*ILSVRC2012"):
        evaluate.real_labels(path, ["photo.jpg"])
    with pytest.raises(DataError, match="to 00000004"):
        evaluate.real_labels(path, ["ILSVRC2012_val_00000005.JPEG"])
    path.write_text('[["cat"]]')
    with pytest.raises(DataError, match="list of lists of class numbers.*real.json"):
        evaluate.real_labels(path, [])
    path.write_text("[")
    with pytest.raises(DataError, match="must be JSON"):
        evaluate.real_labels(path, [])
    with pytest.raises(DataError, match="digits: must hold images with file names"):
        training.image_names("digits")


def test_the_published_reassessed_labels_are_read(shared):
    """50,000 images, of which 3,163 have no label."""
    names = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(1, 50_001)]
    path = shared / "data" / "imagenet_meta" / "imagenet_real.json"
    labels = evaluate.real_labels(path, names)

    assert 50_000 == len(labels)
    assert 3_163 == sum(not row for row in labels)
    assert [(), (970, 795), (230, 231)] == labels[:3]


def blobs(count, seed):
    """Features around one corner per class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return np.eye(3, 6)[labels] * 2 + rng.normal(scale=0.3, size=(count, 6)), labels


def test_probes_by_name():
    """Each probe that was asked for; few shots as far as there are images."""
    scores = evaluate.probes(None, blobs(30, 0), blobs(60, 1), verbose=0)

    assert ["linear_top1", "shot1_top1", "shot5_top1", "shot10_top1", "knn_top1"] == (
        list(scores)
    )
    assert all(share > 0.6 for share in scores.values())
    for wrong in (("knn", "svm"), (), "knn"):
        with pytest.raises(ValueError, match="some of linear, .*lars, got"):
            evaluate.probes(None, None, None, wrong)


def test_features_are_probed_during_training(tmp_path):
    """Every second epoch has a score of the features as they are then; a log of every
    epoch."""
    x, y = blobs(30, 0)
    data = [(x.astype("float32"), y)]
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(3)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = evaluate.ProbeFeatures(data, data, ("knn", "few_shot"), every=2)
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[watch, log]).history

    assert 0.9 < history["knn_top1"][2] <= 1.0
    assert math.isnan(history["knn_top1"][1]) and "shot10_top1" in history
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert ["nan"] == [row["knn_top1"] for row in rows if row["epoch"] == "1"]
    with pytest.raises(ValueError, match="every: must be 1 or more, got 0"):
        evaluate.ProbeFeatures(data, data, every=0)


def test_answers_are_reported_during_training(tmp_path, monkeypatch):
    """Calibration, log loss and ReaL of every second epoch; a picture, renewed."""
    real = importlib.import_module("keras_vit.training.evaluate.imagenet_real")
    monkeypatch.setattr(real, "CLASSES", 3)
    x, y = blobs(30, 0)
    data = [(x.astype("float32"), y)]
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    picture = tmp_path / "confusion.png"
    real = [(label,) for label in y]
    watch = evaluate.ReportScores(data, every=2, confusion=picture, real=real)
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[watch, log]).history
    found = evaluate.report(model, data, verbose=0)

    assert found.log_loss == pytest.approx(history["val_log_loss"][2])
    assert found.calibration_error == pytest.approx(history["val_calibration_error"][2])
    assert found.top["top1"] == history["val_real"][2] == watch.report.top["top1"]
    assert math.isnan(history["val_log_loss"][1]) and picture.exists()
    with pytest.raises(ValueError, match="every: must be 1 or more, got 0"):
        evaluate.ReportScores(data, every=0)
    with pytest.raises(FileExistsError, match="confusion.png"):
        evaluate.ReportScores(data, confusion=picture)


@pytest.mark.slow
def test_the_probe_of_mae_goes_by_name():
    """As `linear_probe` with its method."""
    data = blobs(30, 0)
    expected = evaluate.linear_probe(None, data, data, "lars", verbose=0)["top1"]
    assert {"lars_top1": expected} == evaluate.probes(None, data, data, ("lars",))
