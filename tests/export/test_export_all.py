import ast
import html.parser
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_vit import export
from keras_vit.errors import ExportMismatch
from keras_vit.export.apps import snippets
from keras_vit.export.io.io_spec import contract_of
from keras_vit.export.report.artefacts import ARTEFACTS, chosen, fingerprint
from keras_vit.preprocess import Preprocessing

USUAL = chosen(None, None)
HISTORY = {
    "loss": [2.0, 1.0, float("nan")],
    "val_loss": [2.1, 1.2, 1.1],
    "accuracy": [0.2, 0.6, 0.9],
    "val_accuracy": [0.1, 0.5, 0.7],
    "learning_rate": [1e-3, 1e-3, 1e-4],
}


@pytest.fixture(scope="module")
def report(model, photos, answers, tmp_path_factory):
    """Everything at once, with some wrong labels and a history."""
    labels = answers.copy()
    labels[::10] = (labels[::10] + 1) % 5
    folder = tmp_path_factory.mktemp("all") / "out"
    return export.export_all(
        model, folder, (photos, labels), history=HISTORY, sample=6, verbose=0
    )


def test_the_folder_holds_everything(report, model):
    """Every usual file, labels, and the report in three forms; nothing hidden."""
    expected = {artefact.file for artefact in USUAL}
    expected |= {"labels.txt", "report.json", "report.html", "MODEL_CARD.md"}

    assert {"saved_model", "model_dynamic_int8.tflite", "model.onnx"} <= expected
    assert expected == set(os.listdir(report.directory))
    names = (report.directory / "labels.txt").read_text().splitlines()
    assert model.labels == names


def test_every_artefact_was_verified(report):
    """Paths are final, figures are there, all passed."""
    assert report.passed
    assert len(USUAL) == len(report.artefacts)
    for artefact in report.artefacts:
        assert artefact.path.exists()
        assert (40, 90.0) == (artefact.images, artefact.top1_keras)
        assert artefact.time_ratio > 0


def test_json_says_what_the_object_says(report):
    """The file is the object's dict, without NaN."""
    stored = json.loads(report.html.with_name("report.json").read_text())

    assert json.loads(json.dumps(report.to_dict())) == stored
    assert [2.0, 1.0, None] == stored["history"]["loss"]
    assert {"processor", "cores"} <= set(stored["machine"])
    assert {"keras", "tensorflow", "onnxruntime"} <= set(stored["versions"])
    assert [True] * len(USUAL) == [artefact["kept"] for artefact in stored["artefacts"]]


class Tags(html.parser.HTMLParser):
    """Counts tags and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Remember what is open."""
        self.seen.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "line", "polyline", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the innermost."""
        if tag not in ("line", "polyline", "circle"):
            assert tag == self.open.pop()


def test_the_page_needs_nothing_else(report):
    """Well formed, no scripts, no links: every picture is inside."""
    text = report.html.read_text()
    tags = Tags(text)

    assert [] == tags.open
    assert not {"script", "link", "iframe"} & set(tags.seen)
    assert 12 == len(tags.links)
    assert all(link.startswith("data:image/") for link in tags.links)
    assert 4 == tags.seen.count("svg")
    assert tags.seen.count("polyline") in (4, 5)  # a front needs two files
    assert not re.search(r"https?://", text)


def test_the_page_shows_mistakes_and_names(report):
    """Wrong images are marked with both names, and every file has its row."""
    text = report.html.read_text()

    assert 2 == text.count('<figure class="card bad">')
    assert len(USUAL) == text.count('<span class="pill good ">verified')
    assert f"{len(USUAL)} files verified" in text
    command = "keras-vit export MODEL.keras app/ --for android"
    for name in (
        "model.onnx",
        "model_dynamic_int8.tflite",
        "90.00%",
        "<b>dog",
        command,
    ):
        assert name in text
    assert "90.00%<small>76.9 to 96.0</small>" in text
    assert "6 of 40 images, spread evenly over the classes" in text
    assert len(USUAL) == text.count('class="bar fine"')
    for text in (report.last_words, report.card.read_text()):
        assert command in text and ": ship " not in text  # all of them take floats


def run_here(code, folder):
    """In this process; what it imports is looked at before."""
    names = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import)]
    assert not {"keras_vit"} & {alias.name for n in names for alias in n.names}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, {})


def run_afresh(code, folder):
    """In a process that must not have this package at the end."""
    code += "\nimport sys; assert 'keras_vit' not in sys.modules"
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize(
    "run", [run_here, pytest.param(run_afresh, marks=pytest.mark.slow)]
)
def test_snippets_of_the_page_run(run, report, model, tmp_path):
    """The code for each file gives the model's answer, without this package."""
    contract = contract_of(model, False)
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype("uint8")
    Image.fromarray(photo).save(report.directory / "photo.jpg", quality=95)
    parts = [snippets.load_image(contract, model.preprocessing)]
    for artefact in report.artefacts:
        code = snippets.run_file(artefact, "logits")
        parts += [code, "answers.append(np.array(answer))"]
        assert code.replace('"', "&quot;") in report.html.read_text()
    save = f"np.savez({str(tmp_path / 'y.npz')!r}, *answers, image=image)"

    run("\n".join(("answers = []", *parts, save)), report.directory)
    (report.directory / "photo.jpg").unlink()

    with np.load(tmp_path / "y.npz") as got:
        expected = model.predict(got["image"], verbose=0)
        assert (-1 <= got["image"].min()) and (got["image"].max() <= 1)
        for index, artefact in enumerate(report.artefacts):
            close = {"float32": 1e-4, "float16": 1e-2}.get(artefact.precision, 0.1)
            np.testing.assert_allclose(got[f"arr_{index}"], expected, atol=close)


@pytest.mark.parametrize(
    ("note", "line"),
    [
        ({"crop": 0.875, "resize": "short_side"}, "ImageOps.fit(photo, (32, 32)"),
        (
            {"crop": 0.5},
            ".resize((64, 64), Image.Resampling.BILINEAR).crop((16, 16, 48",
        ),
        ({"mode": "imagenet"}, "np.float32([0.485"),
        ({"interpolation": "bicubic"}, "Image.Resampling.BICUBIC"),
    ],
)
def test_snippets_follow_the_preprocessing(note, line, model):
    """Geometry and range of the model are in the code."""
    code = snippets.load_image(
        contract_of(model, False), Preprocessing((32, 32), **note)
    )

    assert line in code
    compile(code, "snippet", "exec")


def test_existing_files_are_respected(report, model, photos, tmp_path):
    """One existing name is enough to refuse, before any work; others stay."""
    (tmp_path / "model.onnx").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(FileExistsError, match="model.onnx.*overwrite=True"):
        export.export_all(model, tmp_path, photos[:2], formats=["onnx"])

    again = export.export_all(
        model, tmp_path, photos[:2], formats=["onnx"], overwrite=True, verbose=0
    )

    assert "mine" == (tmp_path / "notes.txt").read_text()
    assert again.passed and again.artefacts[0].top1 is None
    assert {
        "model.onnx",
        "notes.txt",
        "labels.txt",
        "report.json",
        "report.html",
        "MODEL_CARD.md",
    } == set(os.listdir(tmp_path))


@pytest.mark.parametrize("step", ["open_file", "verify_all", "_write_extras"])
def test_interruption_leaves_nothing(step, model, photos, tmp_path, monkeypatch):
    """Ctrl-C at any point: no files, no hidden folder, not even a new directory."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module_of(), step, stop)

    with pytest.raises(KeyboardInterrupt):
        export.export_all(
            model, tmp_path / "out", photos[:2], formats=["onnx"], verbose=0
        )
    assert [] == list(tmp_path.iterdir())


def module_of():
    """The module, which the function of the same name hides in the package."""
    return sys.modules["keras_vit.export.export_all"]


def test_a_file_that_fails_is_reported_but_not_kept(
    model, photos, tmp_path, monkeypatch
):
    """The verdict is in the report; the file is not in the folder."""
    verify_all = module_of().verify_all

    def strict(*args, **kwargs):
        found = verify_all(*args, **kwargs)
        found[0].reasons.append("logits <are> off")
        return found

    monkeypatch.setattr(module_of(), "verify_all", strict)

    report = export.export_all(model, tmp_path, photos[:2], formats=["onnx"], verbose=0)

    assert not report.passed
    left = {"labels.txt", "report.json", "report.html", "MODEL_CARD.md"}
    assert left == set(os.listdir(tmp_path))
    text = report.html.read_text()
    assert "1 of 1 files failed" in text and "logits &lt;are&gt; off" in text
    assert "onnxruntime.InferenceSession" not in text


def test_a_recipe_that_does_not_hold_is_reported(model, photos, tmp_path, monkeypatch):
    """Others are made all the same, and nobody is left in the dark."""
    write = module_of().run_export

    def fail(form, reference, quantization, options):
        if quantization == "dynamic_int8":
            raise ExportMismatch("too <noisy>")
        return write(form, reference, quantization, options)

    monkeypatch.setattr(module_of(), "run_export", fail)
    formats = ["tflite_dynamic_int8", "onnx"]

    report = export.export_all(model, tmp_path, photos[:2], formats=formats, verbose=0)

    assert not report.passed
    assert {"model_dynamic_int8.tflite": "too <noisy>"} == report.failures
    assert ["model.onnx"] == [a.path.name for a in report.artefacts]
    assert "1 of 2 files failed" in report.html.read_text()
    assert "could not be made: too &lt;noisy&gt;" in report.html.read_text()
    assert "could not be made: too <noisy>" in report.card.read_text()


def test_float_files_that_fail_end_everything(model, photos, tmp_path, monkeypatch):
    """A conversion that breaks the model is no matter of a report."""

    def fail(*_, **__):
        raise ExportMismatch("other numbers")

    monkeypatch.setattr(module_of(), "run_export", fail)

    with pytest.raises(ExportMismatch, match="other numbers"):
        export.export_all(
            model, tmp_path / "out", photos[:2], formats=["tflite"], verbose=0
        )
    assert not (tmp_path / "out").exists()


def test_what_to_make_depends_on_the_images():
    """Without calibration nothing that needs it; integers throughout only if asked."""
    images = np.zeros((1, 2, 2, 3), "float32")
    names = [artefact.name for artefact in USUAL]
    more = [artefact.name for artefact in chosen(None, images)]

    assert {"savedmodel", "tflite", "tflite_float16", "onnx"} <= set(names)
    assert {"tflite_static_int8"} <= set(more) - set(names)
    assert not {"tflite_full_int8", "tflite_int16x8"} & set(more)
    assert list(ARTEFACTS) == [a.name for a in chosen("all", images)]
    assert ["tflite", "onnx"] == [a.name for a in chosen(["onnx", "tflite"], None)]
    with pytest.raises(ValueError, match="must be given for tflite_static_int8, got"):
        chosen(["tflite_static_int8"], None)
    ranged = {artefact.name for artefact in chosen(None, "ranges.json")}
    assert {*names, "tflite_static_int8"} == ranged
    with pytest.raises(ValueError, match="given for tflite_int4, .*onnx_.*got ranges"):
        chosen("all", "ranges.json")


def test_the_card_says_where_everything_comes_from(report):
    """Files with their figures, which to ship, hashes, versions, machine."""
    text = report.card.read_text()

    for artefact in report.artefacts:
        assert f"| `{artefact.path.name}` |" in text
    for part in ("## Which file", "**Phone, processor:**", "90.00 (76.9 to 96.0)"):
        assert part in text
    assert f"40, sha256 `{report.validation['sha256']}`" in text
    assert report.calibration is None and "calibration images" not in text
    assert {"images": 40, "labelled": True} == {
        key: report.validation[key] for key in ("images", "labelled")
    }


def test_hashes_depend_on_values_alone(photos):
    """The same images, the same hash, however they were cut."""
    whole = fingerprint(photos)

    assert whole == fingerprint(photos.copy()) != fingerprint(photos[:39])
    assert 64 == len(whole["sha256"]) and 40 == whole["images"]


def test_arguments_are_checked_first(model, photos, tmp_path):
    """Formats, history and validation are looked at before any conversion."""
    target = tmp_path / "out"

    with pytest.raises(ValueError, match="must be one of 'savedmodel'.*'coreml'"):
        export.export_all(model, target, photos, formats=["coreml"])
    with pytest.raises(ValueError, match="formats: must name at least one"):
        export.export_all(model, target, photos, formats=[])
    with pytest.raises(FileNotFoundError, match="no such log"):
        export.export_all(model, target, photos, history=tmp_path / "log.csv")
    with pytest.raises(TypeError, match="history: must be a dict of lists"):
        export.export_all(model, target, photos, history=3)
    with pytest.raises(ValueError, match="labels: must be one for each of 40"):
        export.export_all(model, target, (photos, [1]))
    assert not target.exists()


def test_a_file_in_the_way_of_the_directory(model, photos, tmp_path):
    """A file where the folder should be is an error, and stays."""
    (tmp_path / "out").write_text("mine")

    with pytest.raises(NotADirectoryError, match="file stands in the way"):
        export.export_all(model, tmp_path / "out", photos)
    assert "mine" == (tmp_path / "out").read_text()


def test_models_without_blocks_or_labels_have_a_report(tmp_path):
    """A plain convolutional model: no attention maps, class numbers for names."""
    import keras

    image = keras.Input((12, 20, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image))
    model = keras.Model(image, keras.layers.Dense(3)(x), name="a.b")
    photos = np.random.default_rng(0).uniform(-1, 1, (5, 12, 20, 1)).astype("float32")

    report = export.export_all(model, tmp_path, photos, formats=["onnx"], verbose=0)

    text = report.html.read_text()
    assert 5 == len(Tags(text).links)
    assert "a.b" in text and "class " in text
    assert not (tmp_path / "labels.txt").exists()


def test_mismatch_in_one_format_stops_all(model, photos, tmp_path, monkeypatch):
    """A broken conversion is an error, and nothing of the others is left."""

    def broken(*_):
        raise ExportMismatch("broken")

    monkeypatch.setattr("keras_vit.export.formats.write_and_verify.prove", broken)

    with pytest.raises(ExportMismatch, match="broken"):
        export.export_all(
            model, tmp_path / "out", photos[:2], formats=["onnx"], verbose=0
        )
    assert [] == list(tmp_path.iterdir())
