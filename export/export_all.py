"""Every format in one call, verified on real images, with a report beside them."""

import dataclasses
import datetime
import json
import pathlib
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_vit.errors import ExportMismatch, UnsupportedLayer
from keras_vit.export.comparison.all_on_processors import ProcessorJudge
from keras_vit.export.formats.onnx.exporter import ONNX
from keras_vit.export.formats.run_export import ExportOptions, run_export
from keras_vit.export.formats.savedmodel.exporter import SavedModel
from keras_vit.export.formats.tflite.exporter import TFLite
from keras_vit.export.images.batches import Batches
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.inspection.half import largest_activation
from keras_vit.export.inspection.layers import compare_layers
from keras_vit.export.io.labels import LABELS, lines
from keras_vit.export.io.reference import Reference
from keras_vit.export.processors.child import TIME_LIMIT
from keras_vit.export.quantization.calibration.saved_ranges import (
    check_ranges,
    is_ranges,
)
from keras_vit.export.report import html, model_card
from keras_vit.export.report.advice import FLOATS
from keras_vit.export.report.artefacts import Fingerprint, chosen
from keras_vit.export.report.artefacts import fingerprint as fingerprint_of
from keras_vit.export.report.export_report import ExportReport
from keras_vit.export.report.gallery import Gallery
from keras_vit.export.report.history import read_history, source_of
from keras_vit.export.runtime import provenance
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.differences import check_points
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.staging import staging
from keras_vit.export.verify import FirstImages, Observers, verify_all
from keras_vit.layers import TransformerBlock
from keras_vit.models.output_activation import labels_of
from keras_vit.progress import Parts
from keras_vit.ranges import CUSTOM, keywords
from keras_vit.types import FilePath

EXTRAS = (LABELS, "report.json", "report.html", "MODEL_CARD.md")
SOURCE = ".float32.tflite"
FORMATS = {"savedmodel": SavedModel(), "tflite": TFLite(), "onnx": ONNX()}
FEW = 8  # images to look inside with


def export_all(
    model: keras.Model,
    directory: FilePath,
    validation: Any,
    *,
    formats: Sequence[str] | str | None = None,
    calibration: Any = None,
    history: Any = None,
    layers: bool = False,
    max_points_lost: float | None = None,
    on: str | Iterable[str] | None = None,
    time_limit: float = TIME_LIMIT,
    sample: int = 12,
    model_file: FilePath | None = None,
    overwrite: bool = False,
    verbose: int = 1,
) -> ExportReport:
    """Export a model to every format, verify each file, and write a report.

    `directory` then holds `saved_model/`, `model.tflite`, `model.onnx`, one file per
    recipe such as `model_int4.tflite`, `labels.txt` if there are any, `report.json`,
    `report.html` and `MODEL_CARD.md`. A file that fails is only reported, with figures.

    Args:
        model: Keras model that takes images. directory: made when missing.
        validation: (images, labels), or an iterable of batches, as in `verify`.
        formats: names in `artefacts.ARTEFACTS`; "all"; or None for all but those that
            run slowly, and those that lack calibration images.
        calibration: other images, or `Ranges`, for the recipes that need some.
        history: training curves: dict of lists, Keras `History`, or CSV log.
        layers: whether to compare files block by block too. sample: images shown.
        max_points_lost, on, time_limit: as in `verify`, with the first 32 images on
            other processors; one that takes no such file, or is too slow, is "not
            tried". model_file: where the model lies, for the command in the report.
        overwrite: whether earlier files may be replaced. verbose: 0 for silence.

    Returns:
        `ExportReport`.

    Raises:
        ExportMismatch: when a float32 file does not answer as the model does.
        TypeError, ValueError, OSError: as `verify`.
    """
    artefacts, curves = chosen(formats, calibration), read_history(history)
    elsewhere = ProcessorJudge(on, max_points_lost, time_limit, verbose)
    check_points("max_points_lost", max_points_lost, optional=True)
    reference = Reference(model)
    learned = _calibration(calibration, reference, verbose)
    batches = _batches(validation, reference)
    with _staging(directory, artefacts, reference, overwrite) as folder:
        writer = Writer(model, folder, learned, verbose)
        options = (batches, layers, max_points_lost, sample, verbose, elsewhere)
        report = _judge(reference, writer.write_all(artefacts), *options)
        report.history, report.history_from = curves, source_of(history)
        report.failures, report.calibration = writer.failures, fingerprint_of(learned)
        report.directory, report.model_file = folder.parent, model_file
        _write_extras(report, folder)
        _drop_failed(report, folder)
    say(report.last_words, verbose)
    return report


def _staging(directory, artefacts, reference, overwrite):
    """Make the folder that the files wait in until all are done."""
    names = [*(artefact.file for artefact in artefacts), *EXTRAS]
    room = (2.0 + sum(a.share for a in artefacts)) * reference.parameter_bytes
    return staging(directory, names, room, overwrite)


def _batches(validation, reference):
    """Make checked `Batches` of (images, labels), or of an iterable."""
    pair = validation if isinstance(validation, tuple) else (validation, None)
    return Batches(*pair, reference.contract)


def _calibration(calibration, reference, verbose):
    """Read calibration images, or `Ranges` of this model, or None."""
    if calibration is None:
        return None
    if is_ranges(calibration):
        return check_ranges(calibration, reference.model)
    return read_calibration(calibration, reference, verbose)


def _judge(
    reference, paths, batches, layers, max_points_lost, sample, verbose, elsewhere
):
    """Verify every file on the validation images; returns the report so far."""
    runtimes = [open_file(path) for path in paths]
    gallery, first = Gallery(reference.contract, sample), FirstImages(FEW)
    fingerprint, first_images = Fingerprint(), FirstImages(elsewhere.images)
    given = (batches, max_points_lost, verbose)
    observe = Observers(gallery, first, fingerprint, first_images).add
    found = verify_all(reference, runtimes, *given, observe)
    inspect_files(reference, found, first.images(), layers)
    elsewhere.judge(reference, runtimes, found, first_images)
    report = _report(reference, found)
    report.validation = {**fingerprint.to_dict(), "notes": batches.notes}
    report.pictures = gallery.pictures(reference.model)
    return report


class Writer:
    """Writes artefacts into a folder; converts to float32 TFLite once for all recipes.

    Args:
        model: Keras model. folder: where.
        calibration: (N, H, W, C) images, `Ranges`, or None. verbose: 0 for silence.

    Attributes:
        failures: {file name: why it could not be made}.
    """

    def __init__(self, model, folder, calibration, verbose):
        self._model, self._folder = model, folder
        self._calibration, self._verbose = calibration, verbose
        self._references = {}
        self.failures = {}

    def write_all(self, artefacts):
        """Write each artefact; returns the paths of those that succeeded.

        A recipe that does not hold on this model is a failure to report; a float32
        file that is wrong ends everything.
        """
        paths, size = [], self._model.count_params()
        parts = Parts([artefact.cost(size) for artefact in artefacts], "file")
        for artefact in artefacts:
            say(f"{artefact.file}: writing, {parts.begin()}", self._verbose)
            try:
                result = self._write(artefact, self._folder / artefact.file)
            except (ExportMismatch, UnsupportedLayer) as err:
                if artefact.quantization is None:
                    raise
                self.failures[artefact.file] = str(err)
                say(f"{artefact.file}: FAILED: {err}", self._verbose)
                continue
            if not self._says_itself(artefact):
                shown = dataclasses.replace(result, path=artefact.file)
                say(str(shown), self._verbose)
            paths.append(result.path)
        (self._folder / SOURCE).unlink(missing_ok=True)
        return paths

    def _write(self, artefact, path):
        images = self._calibration if artefact.calibrated else None
        options = ExportOptions(path, calibration=images, verbose=0)
        if artefact.kind == "tflite":
            verbose = self._verbose if self._says_itself(artefact) else 0
            source = self._source() if artefact.recipe else None
            options = dataclasses.replace(options, verbose=verbose, source=source)
        form, reference = FORMATS[artefact.kind], self._reference(artefact.kind)
        return run_export(form, reference, artefact.quantization, options)

    def _reference(self, file_format):
        """The model's `Reference` for a format: open batch for servers."""
        if file_format not in self._references:
            many = file_format == "savedmodel"
            self._references[file_format] = Reference(self._model, dynamic_batch=many)
        return self._references[file_format]

    @staticmethod
    def _says_itself(artefact):
        """Whether a recipe shows progress of its own, as calibration does."""
        return artefact.kind == "tflite" and artefact.calibrated

    def _source(self):
        """Convert the float32 `.tflite` file that recipes start from, once."""
        for name in ("model.tflite", SOURCE):
            if (self._folder / name).is_file():
                return self._folder / name
        options = ExportOptions(self._folder / SOURCE, verbose=0)
        run_export(FORMATS["tflite"], self._reference("tflite"), None, options)
        return self._folder / SOURCE


def inspect_files(reference, verifications, images, layers):
    """Compare block by block, and find the largest activation, where asked.

    The largest activation of float files, for GPUs; block by block, if asked.

    Args:
        reference: `Reference`. verifications: list of `Verification`, changed in place.
        images: the first few. layers: whether to compare block by block.
    """
    for one in verifications:
        if one.format == "tflite" and one.precision in FLOATS:
            one.half = largest_activation(one.path, one.format, images)
        if layers:
            one.layers = compare_layers(
                reference, one.path, one.format, one.precision, images
            )


def _report(reference, verifications):
    model = reference.model
    return ExportReport(
        directory=pathlib.Path(),
        artefacts=verifications,
        failures={},
        model=_facts(reference),
        labels=labels_of(model),
        contract=reference.contract,
        preprocessing=reference.contract.note,
        history={},
        pictures=[],
        calibration=None,
        validation={},
        versions=provenance.versions(),
        machine=provenance.machine(),
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _facts(reference):
    """Model size, blocks, width, heads and tokens as plain values."""
    model, output = reference.model, reference.contract.outputs[0]
    facts = {
        "name": model.name,
        "parameters": model.count_params(),
        "input": list(reference.contract.image.shape[1:]),
        "output_name": output.name,
        "output": output.shape[-1],
    }
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    if blocks:
        facts["blocks"] = len(blocks)
        facts["heads"] = blocks[0].heads
        facts["width"] = blocks[0].input.shape[-1]
        facts["tokens"] = blocks[0].input.shape[1]
    note = reference.contract.note
    if note is not None:
        facts["pixel_range"] = (
            note.mode if note.mode != CUSTOM else keywords(note.range)
        )
    return facts


def _write_extras(report, folder):
    """Write labels.txt, report.json, report.html and MODEL_CARD.md."""
    if report.labels:
        names = lines(report.labels) + "\n"
        (folder / LABELS).write_text(names, encoding="utf-8")
    facts = json.dumps(report.to_dict(), indent=2, allow_nan=False)
    (folder / "report.json").write_text(facts + "\n", encoding="utf-8")
    (folder / "report.html").write_text(html.render(report), encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(model_card.render(report), encoding="utf-8")


def _drop_failed(report, folder):
    """Remove files that failed; move the paths of the others to the folder."""
    for artefact in report.artefacts:
        path = folder / artefact.path.name
        artefact.path = report.directory / path.name
        if not artefact.passed and path.is_dir():
            shutil.rmtree(path)
        elif not artefact.passed:
            path.unlink()
