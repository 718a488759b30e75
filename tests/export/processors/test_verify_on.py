"""`verify(on=...)`: the same comparison with the calls made in another process."""

import json
from unittest import mock

import numpy as np
import pytest

from keras_vit import export
from keras_vit.cli.export import summary
from keras_vit.errors import ExportMismatch
from keras_vit.export.comparison.all_on_processors import ProcessorJudge
from keras_vit.export.comparison.on_processors import ProcessorRun
from keras_vit.export.io.reference import Reference
from keras_vit.export.processors import child, run
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.verify import FirstImages

# The process here may be held to fewer instructions than one of its own.
ROUNDING = 1e-5
NO_MODEL = None  # what must be refused before the model is looked at


@pytest.mark.parametrize("kind", ["tflite", "int8", "onnx"])
def test_a_file_answers_there_as_here(kind, model, exported, photos, laboratory):
    """An emulator that changes nothing gives the same numbers, but for the kernels."""
    laboratory()
    given = (model, exported[kind].path, photos[:3])

    report = export.verify(*given, on="haswell", verbose=0)

    trial = report.processors["haswell"]
    assert (3, 100.0) == (trial.images, trial.native_agreement)
    assert trial.native_difference < ROUNDING
    assert trial.passed
    assert abs(report.largest_difference - trial.largest_difference) < ROUNDING
    assert "haswell 100% as here" in str(report)
    found = json.loads(json.dumps(report.to_dict(), default=str))["processors"]
    assert found["haswell"]["passed"] and "not tried" == found["cortex-a53"]


def test_faces_and_signatures(model, photos, tmp_path, laboratory):
    """The way to call it that was asked for: pixels, best classes, an open batch."""
    laboratory()
    path = tmp_path / "several.tflite"
    two = {
        "classify": export.Signature(preprocessing="embed", top=3),
        "embed": export.Signature(output="features"),
    }
    export.to_tflite(model, path, signatures=two, dynamic_batch=True, verbose=0)
    options = {"signature": "classify", "on": "haswell", "verbose": 0}

    report = export.verify(model, path, photos[:3], **options)
    here = open_file(path, signature="embed")(photos[:3])
    there = run("haswell", path, photos[:3], signature="embed", verbose=0)

    assert "uint8 pixels" in report.compared and "3 best" in report.compared
    assert report.processors["haswell"].native_difference < ROUNDING
    assert [(3, 16)] == [answer.shape for answer in there]
    np.testing.assert_allclose(there[0], here[0], atol=ROUNDING)
    itself = run("native", path, photos[:3], signature="embed", verbose=0)
    np.testing.assert_allclose(itself[0], here[0], atol=ROUNDING)


def test_what_is_wrong_there_fails(model, exported, photos, laboratory, monkeypatch):
    """A processor on which a file answers otherwise is named in the error."""
    laboratory()

    def spoil(self, images, labels, expected, here):
        there = [-answer for answer in here]
        self._there = lambda images: there
        self._session = type("None", (), {"seconds": 1, "facts": {}, "close": id})
        return add(self, images, labels, expected, here)

    add = ProcessorRun.add
    monkeypatch.setattr(ProcessorRun, "add", spoil)
    monkeypatch.setattr(ProcessorRun, "close", lambda self: None)

    with pytest.raises(ExportMismatch, match="on haswell: logits has a") as caught:
        export.verify(model, exported["int8"].path, photos[:2], on="haswell", verbose=0)
    assert not caught.value.report.processors["haswell"].passed


def test_a_crash_there_is_a_verdict(model, exported, photos, laboratory):
    """An emulator that dies is told with its last words, beside the figures here."""
    laboratory("echo illegal instruction >&2; exit 3")
    given = (model, exported["tflite"].path, photos[:2])

    report = export.verify(*given, on="haswell", on_failure="report", verbose=0)

    assert "exit code 3: illegal instruction" in report.reasons[0]
    assert "FAILED" == report.processors["haswell"].cell
    assert report.largest_difference < 1e-4


def test_the_time_limit_holds(model, exported, photos, laboratory, monkeypatch):
    """A processor that never answers ends with the limit."""
    monkeypatch.setattr(child, "BEAT", 0.05)
    laboratory("exec sleep 60")

    with pytest.raises(TimeoutError, match="haswell: must be done.*time_limit=0.3"):
        export.verify(
            model,
            exported["tflite"].path,
            photos[:2],
            on="haswell",
            time_limit=0.3,
            verbose=0,
        )


@pytest.mark.parametrize(
    "kind, options, error, told",
    [
        ("tflite", {"on": "haswel"}, ValueError, "Did you mean 'haswell'"),
        ("tflite", {"on": "haswell"}, OSError, "keras-vit processors --install haswel"),
        ("savedmodel", {"on": "haswell"}, ValueError, "tflite and onnx.*savedmodel"),
        ("tflite", {"time_limit": 0}, ValueError, "time_limit: must be seconds.*got 0"),
    ],
)
def test_wrong_wishes_are_refused_at_once(
    kind, options, error, told, exported, laboratory, monkeypatch
):
    """The name, the format, what is missing: all before the model is touched."""
    monkeypatch.setattr("keras_vit.export.processors.parts.unsupported", str)

    with pytest.raises(error, match=told):
        export.verify(NO_MODEL, exported[kind].path, None, **options)


def test_export_all_has_a_column(model, photos, converted, tmp_path, laboratory):
    """Page, card, terminal and JSON; the rest is said not to be tried."""
    laboratory()
    given = (model, tmp_path / "out", photos[:4])

    report = export.export_all(*given, formats=["tflite"], on=["haswell"], verbose=0)

    assert "100% as here" == report.artefacts[0].processors["haswell"].cell
    page, facts = report.html.read_text(), report.to_dict()["processors"]
    assert '<th scope="col">haswell</th>' in page and "100% as here" in page
    assert "Not tried on cortex-a53" in page
    assert "not tried on cortex-a53" in str(report)
    assert "| haswell |" in report.card.read_text()
    assert "haswell" in summary(report) and "100% as here" in summary(report)
    assert ("tried", "not tried") == (facts["haswell"], facts["nehalem"])


def test_what_cannot_be_tried_is_no_failure(model, exported, photos, laboratory):
    """A SavedModel runs on no other processor; a slow one is cut off."""
    laboratory("exec sleep 60")
    first = FirstImages()
    first.add(photos[:2], None, None)
    elsewhere = ProcessorJudge(["haswell"], None, 0.1, 0)
    runtimes = [open_file(exported[kind].path) for kind in ("savedmodel", "tflite")]
    found = [mock.Mock(), mock.Mock()]

    elsewhere.judge(Reference(model), runtimes, found, first)

    trials = [one.judge.call_args.args[0]["haswell"] for one in found]
    assert ["not tried"] * 2 == [trial.cell for trial in trials]
    assert "takes tflite and onnx files" == trials[0].untried
    assert "time_limit=0.1 s" in trials[1].untried
