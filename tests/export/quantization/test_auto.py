import json

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import ExportMismatch
from keras_vit.export.formats import run_export
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization import auto
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.report.artefacts import ARTEFACTS


@pytest.fixture(scope="module")
def judge(model, photos, answers):
    """Asks with labels that the model gets right."""
    found = auto.AccuracyJudge(Reference(model), (photos, answers), 0.5)
    found.predict_with_keras(0)
    return found


@pytest.fixture
def copies(exported, monkeypatch):
    """Recipes that are ready, so that nothing is converted; gives what was asked."""
    asked = []

    def write(form, reference, name, options):
        asked.append((name, options.source))
        key = {None: "tflite", "dynamic_int8": "int8"}.get(name, "tflite")
        if name == "static_int8":
            raise ExportMismatch("too noisy")
        options.path.write_bytes(exported[key].path.read_bytes())
        return exported[key]

    monkeypatch.setattr(run_export, "run_export", write)
    return asked


def test_the_first_that_is_good_enough_is_kept(
    model, photos, answers, copies, exported, tmp_path
):
    """One conversion, then recipes from it, smallest first; the table says all."""
    result = export.to_tflite(
        model,
        tmp_path / "m.tflite",
        "auto",
        validation=(photos, answers),
        tolerance=4.9,
        verbose=0,
    )

    assert [None, "dynamic_int8"] == [name for name, _ in copies][:1] + [
        result.quantization
    ]
    assert all(source is not None for name, source in copies if name)
    assert (tmp_path / "m.tflite") == result.path
    assert exported["int8"].path.read_bytes() == result.path.read_bytes()
    assert ["m.tflite"] == [path.name for path in tmp_path.iterdir()]
    assert result.tried[-1].accepted and result.tried[-1].top1 > 90
    stored = json.loads(json.dumps(result.to_dict()))
    assert "dynamic_int8" == stored["tried"][-1]["quantization"]
    assert "40 images, where one is 2.5 points" in result.notes[-1]


def test_how_long_judging_may_take_is_said_first(judge, exported):
    """Of the recipes that can be tried, float32 among them."""
    recipes = {"dynamic_int8": "", "int4": "needs images"}

    said = judge.longest_duration(exported["tflite"].path, recipes)

    assert "auto: judging takes a few seconds, if all of 2 recipes" in said
    assert "on 40 images" in said


def test_files_that_take_longer_cost_more():
    """Four bits more than all others together, and more with every parameter."""
    costs = {name: one.cost(5_700_000) for name, one in ARTEFACTS.items()}
    four = costs["tflite_int4"]

    others = [cost for name, cost in costs.items() if "int4" not in name]
    assert four > sum(others) and ARTEFACTS["tflite_int4"].cost(10**5) < four / 10


def test_recipes_that_fail_or_lack_images_are_in_the_table(
    model, photos, copies, tmp_path
):
    """They are passed over with the reason, and float32 is always good enough."""
    calibration = np.concatenate([photos] * 2)[:64]

    result = export.to_tflite(
        model,
        tmp_path / "m.tflite",
        "auto",
        calibration=calibration,
        validation=photos,
        tolerance=-0.0,
        verbose=0,
    )

    notes = {trial.quantization: trial.note for trial in result.tried}
    assert "failed: too noisy" == notes.get("static_int8", "failed: too noisy")
    assert result.tried[-1].accepted and 0.0 == result.tried[-1].lost
    assert result.tried[-1].top1 is None

    other = export.to_tflite(
        model, tmp_path / "o.tflite", "auto", validation=photos, verbose=0
    )
    notes = {trial.quantization: trial.note for trial in other.tried}
    expected = "not tried: needs calibration images"
    assert expected == notes.get("static_int8", expected)


def test_the_float_file_is_the_last_resort(judge, exported, tmp_path):
    """When nothing smaller holds, it is taken; the text tells of each trial."""

    def write(name, file, source):
        file.write_bytes(exported["tflite"].path.read_bytes())
        return exported["tflite"]

    hindered = {RECIPES[name]: "not today" for name in ("float16", "dynamic_int8")}
    result = auto.smallest(tmp_path / "m.tflite", judge, hindered, write, verbose=0)

    assert [False, False, True] == [trial.accepted for trial in result.tried]
    assert "dynamic_int8   not tried: not today" == str(result.tried[0])
    assert (
        "top-1 100.00% (91.2 to 100.0), agreement 100.00%,  0.00 points lost: chosen"
        in str(result.tried[-1])
    )


def test_nothing_is_left_when_no_file_will_do(judge, exported, tmp_path, monkeypatch):
    """Not even float32: an error with the table."""
    monkeypatch.setattr(judge, "tolerance", -1.0)

    def write(name, file, source):
        file.write_bytes(exported["tflite"].path.read_bytes())
        return exported["tflite"]

    with pytest.raises(ExportMismatch, match="float32.*too much.*Raise the tolerance"):
        auto.smallest(tmp_path / "m.tflite", judge, {}, write, verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_labels_decide_over_agreement(judge, exported, photos):
    """A file that differs where the model is wrong loses nothing."""
    trial = judge.trial("dynamic_int8", exported["int8"].path, 1)

    assert trial.lost == pytest.approx(100.0 - trial.top1)
    assert 100.0 == judge.top1 and 40 == judge.count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "validation: must be given .* got None"),
        ({"tolerance": -1, "validation": 0}, "between 0 and 100, got -1"),
        ({"tolerance": "1", "validation": 0}, "between 0 and 100, got '1'"),
        ({"validation": iter([])}, "once per recipe, got an iterator"),
        ({"validation": np.zeros((2, 8, 8, 3))}, r"\(N, 32, 32, 3\), got shape"),
    ],
)
def test_wrong_arguments_are_refused_first(options, message, model, tmp_path):
    """Before anything is converted."""
    with pytest.raises(ValueError, match=message):
        export.to_tflite(model, tmp_path / "m.tflite", "auto", **options)
    assert [] == list(tmp_path.iterdir())


def test_validation_goes_with_auto_alone(model, tiny, photos, tmp_path):
    """Elsewhere it would mean nothing, and features have no top-1."""
    path = tmp_path / "m.tflite"

    with pytest.raises(ValueError, match="goes with quantization='auto' only.*None"):
        export.to_tflite(model, path, validation=photos)
    with pytest.raises(ValueError, match="'auto' needs a model that gives scores"):
        features = tiny(include_top=False, pooling=None)
        export.to_tflite(features, path, "auto", validation=photos)


def test_onnx_has_its_own_recipes(model, photos, answers, tmp_path):
    """The same search, written once in float32 and quantized from there."""
    result = export.to_onnx(
        model,
        tmp_path / "m.onnx",
        "auto",
        validation=(photos, answers),
        tolerance=10,
        verbose=0,
    )

    assert "dynamic_int8" == result.quantization
    assert ["m.onnx"] == [path.name for path in tmp_path.iterdir()]
    assert result.tried[-1].accepted and result.tried[-1].top1 >= 90
    with pytest.raises(ValueError, match="goes with quantization='auto' only"):
        export.to_onnx(model, tmp_path / "o.onnx", validation=photos)
