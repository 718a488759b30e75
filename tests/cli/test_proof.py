"""`keras-vit export`, `verify` and `benchmark` with folders of images."""

import dataclasses
import importlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vit import export
from keras_vit.export.quantization.auto import AutoTrial

export_all = importlib.import_module("keras_vit.export.export_all")

LABELS = ["ant", "bee", "cat", "dog", "elk"]


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with a model, its ONNX file, images, and their labels."""
    place = tmp_path_factory.mktemp("proof")
    model = tiny(labels=LABELS)
    model.save(place / "m.keras")
    export.to_onnx(model, place / "m.onnx", verbose=0)
    (place / "photos").mkdir()
    noise = np.random.default_rng(0)
    for index in range(40):
        pixels = noise.integers(0, 256, (32, 32, 3)).astype("uint8")
        Image.fromarray(pixels).save(place / "photos" / f"{index:02}.png")
    lines = [f"{index:02}.png,{LABELS[index % 5]}" for index in range(40)]
    (place / "labels.csv").write_text("\n".join(lines))
    return place


def test_verify_on_a_folder(run, place):
    """Labels from a table; the JSON has what the text tells."""
    words = ("verify", place / "m.keras", place / "m.onnx", "--images")
    words += (place / "photos", "--labels", place / "labels.csv")

    code, out, err = run(*words, "--layers", "--json")
    answer = json.loads(out)

    assert 0 == code, err
    assert (40, True) == (answer["images"], answer["passed"])
    assert answer["top1"] == answer["top1_keras"]
    assert {"stem", "block_1.mlp"} <= set(answer["layers"]["points"])
    code, out, _ = run(*words)
    assert 0 == code and "highest rank: 4" in out and "passed" in out


def test_verify_of_a_wrong_file_fails(run, place, tiny, tmp_path):
    """Exit code 1, and the figures are still there."""
    other = tiny(labels=LABELS)
    other.get_layer("norm").gamma.assign(np.ones(16))
    other.save(tmp_path / "o.keras")
    words = ("verify", tmp_path / "o.keras", place / "m.onnx")

    code, out, _ = run(*words, "--images", place / "photos", "--json")

    assert 1 == code
    assert not json.loads(out)["passed"] and json.loads(out)["reasons"]


def test_export_of_a_folder(run, place, tmp_path, monkeypatch):
    """The formats that were named, judged as told, with report and card."""
    (tmp_path / "run").mkdir()
    shutil.copy(place / "m.keras", tmp_path / "run" / "best.keras")
    log = tmp_path / "run" / "history.csv"
    log.write_text("epoch,loss\n1,2.0\n2,1.0\n")
    words = ("export", tmp_path / "run", tmp_path / "out", "--formats", "onnx")
    words += ("--images", place / "photos", "--labels", place / "labels.csv")
    asked = []
    verify_all = export_all.verify_all

    def note(*args):
        asked.append(args[3])
        return verify_all(*args)

    monkeypatch.setattr(export_all, "verify_all", note)

    code, out, err = run(*words, "--layers", "--tolerance", "30")

    assert 0 == code, err
    assert [30.0] == asked
    assert {"model.onnx", "labels.txt", "report.html", "report.json"} | {
        "MODEL_CARD.md"
    } == {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.onnx: writing, file 1 of 1" in out
    assert "Server, onnxruntime: best is model.onnx" in out
    assert "keras-vit export" not in out  # no app takes ONNX here
    assert f"history: {log}, found beside the model" in out
    assert "against Keras" in out and "Keras: top-1 % " in out
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [2.0, 1.0] == facts["history"]["loss"] and str(log) == facts["history_from"]


def test_auto_gets_its_images(run, place, tmp_path, monkeypatch):
    """Both folders are handed on, one of them read, and the table is printed."""
    given = {}

    def write(model, path, **options):
        given.update(options)
        made = export.to_onnx(model, place / "again.onnx", overwrite=True, verbose=0)
        trial = AutoTrial("dynamic_int8", 10**6, 80.0, 0.1, 99.0, True)
        return dataclasses.replace(made, tried=(trial,))

    monkeypatch.setattr(export, "to_tflite", write)
    words = ("export", place / "m.keras", tmp_path / "m.tflite", "--quantization")
    words += ("auto", "--tolerance", 1, "--calibration", place / "photos")

    code, out, err = run(*words, "--images", place / "photos")

    assert 0 == code, err
    assert ("auto", 1.0) == (given["quantization"], given["tolerance"])
    assert str(place / "photos") == str(given["calibration"])
    assert 40 == given["validation"].count
    assert "tried dynamic_int8" in out and ": chosen" in out


def test_benchmark_prints_ratios(run, place):
    """One file, one thread, two rounds."""
    words = ("benchmark", place / "m.onnx", "--threads", 1, "--rounds", 2, "--json")

    code, out, err = run(*words)

    assert 0 == code, err
    (row,) = json.loads(out)["rows"]
    assert 1.0 == row["timings"]["1"]["ratio"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("verify", "m.keras", "m.onnx"), "--images: needed"),
        (("verify", "m.keras", "m.onnx", "--labels", "x.csv"), "--labels: goes with"),
        (
            ("verify", "m", "m.onnx", "--images", "x", "--data", "digits"),
            "--images: goes without --data",
        ),
        (("export", "m.keras", "out"), "--images: needed"),
        (
            ("export", "m", "out", "--data", "digits", "--quantization", "int4"),
            "--quantization: names one file, got a folder 'out'",
        ),
        (("export", "m", "m.onnx", "--formats", "onnx"), "--formats: goes with a"),
        (("export", "m", "m.onnx", "--data", "digits"), "--data: goes with a folder"),
        (
            ("export", "m", "m.onnx", "--tolerance", "0.0"),
            "--tolerance: goes with a folder, got the file 'm.onnx'",
        ),
        (("export", "m", "m.tflite", "--quantization", "auto"), "--images: needed"),
        (
            ("export", "m", "m.onnx", "--quantization", "int4"),
            "must be one of float16, dynamic_int8, static_int8, auto for .onnx",
        ),
        (
            ("export", "m", "m.tflite", "--quantization", "static_int8"),
            "--calibration: needed for static_int8. Give a folder",
        ),
        (
            ("export", "m", "m.onnx", "--calibration", "."),
            "--calibration: is not used with --quantization None",
        ),
        (
            ("export", "m", "out", "--data", "digits", "--formats", "coreml"),
            "--formats: must be one of 'savedmodel'",
        ),
        (
            ("export", "m", "o", "--data", "digits", "--formats", "tflite_int4"),
            "--calibration: images must be given for tflite_int4, got None",
        ),
        (
            ("export", "m", "out", "--data", "digits", "--dynamic-batch"),
            "--dynamic-batch: goes with one file",
        ),
    ],
)
def test_options_that_contradict_are_wrong_usage(run, words, message):
    """Exit code 2 and one line, before the model is looked for."""
    code, out, err = run(*words)

    assert (2, "") == (code, out)
    assert message in err and "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ("benchmark", "m.onnx", "--rounds", "0"),
        ("benchmark", "m.onnx", "--threads", "1,x"),
        ("benchmark",),
        ("verify", "m.keras", "m.onnx", "--max-points-lost", "much"),
        ("verify", "m.keras", "m.onnx", "--max-points-lost", "-5"),
        ("export", "m.keras", "m.onnx", "--tolerance", "nan"),
        ("export", "m.keras", "m.onnx", "--input-size", "1,2,3"),
    ],
)
def test_wrong_words_are_wrong_usage(run, words):
    """argparse refuses them with the usage."""
    code, _, err = run(*words)

    assert 2 == code and "usage: keras-vit" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("benchmark", "no.tflite"), "no.tflite: no such file"),
        (("verify", "m.keras", "no.onnx", "--data", "digits"), "no.onnx: no such"),
        (("verify", "m", "m.onnx", "--images", "no"), "no: must be a folder"),
        (("export", "m", "m.onnx", "--calibration", "no"), "no: must be a folder"),
    ],
)
def test_missing_files_fail_before_the_model_is_loaded(
    run, words, message, tmp_path, monkeypatch
):
    """Exit code 1, one line."""
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words)

    assert (2, "") == (code, out)
    assert message in err and [] == list(tmp_path.iterdir())


def test_folders_that_are_no_labels_are_no_whole_proof(run, place, tmp_path):
    """Said in the JSON of both commands; exit code 1, and an exported file is kept."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "zebra").symlink_to(place / "photos")
    images = ("--images", tmp_path / "photos", "--json")

    code, out, err = run("verify", place / "m.keras", place / "m.onnx", *images)
    answer = json.loads(out)
    assert (1, False) == (code, answer["passed"]), err
    assert "did not fail, in an incomplete proof: no folder" in answer["verdict"]

    words = ("export", place / "m.keras", tmp_path / "out", "--formats", "onnx")
    code, out, _ = run(*words, *images)
    answer = json.loads(out[out.index("{") :])
    assert (1, False) == (code, answer["passed"])
    assert answer["artefacts"][0]["kept"] and (tmp_path / "out/model.onnx").is_file()
