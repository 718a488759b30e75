"""Every format in one call, verified on real images, with a report beside them."""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
import shutil
import tempfile

from keras_vit import files
from keras_vit.export import page, provenance
from keras_vit.export.batches import Batches
from keras_vit.export.contract import check_choice
from keras_vit.export.gallery import Gallery
from keras_vit.export.history import read_history
from keras_vit.export.noise import say
from keras_vit.export.onnx import to_onnx
from keras_vit.export.reference import Reference
from keras_vit.export.runtimes import open_file
from keras_vit.export.savedmodel import to_savedmodel
from keras_vit.export.tflite import export_tflite, to_tflite
from keras_vit.export.verify import verify_all
from keras_vit.layers import TransformerBlock


def _to_int8(model, path, verbose):
    """Quantize the float32 file beside, when there is one."""
    source = path.with_name(FORMATS["tflite"][0])
    if not source.is_file():
        return to_tflite(model, path, "dynamic_int8", verbose=verbose)
    reference = Reference(model, dynamic_batch=False)
    return export_tflite(reference, path, "dynamic_int8", source, verbose=verbose)


# name -> (file name, function)
FORMATS = {
    "savedmodel": ("saved_model", to_savedmodel),
    "tflite": ("model.tflite", to_tflite),
    "tflite_dynamic_int8": ("model_dynamic_int8.tflite", _to_int8),
    "onnx": ("model.onnx", to_onnx),
}
# Disk space while working, in sizes of the float32 model: three such files, one of
# a quarter, and the SavedModel that TFLite is made from.
ROOM = 4.5
EXTRAS = ("labels.txt", "report.json", "report.html")


@dataclasses.dataclass
class ExportReport:
    """What `export_all` made and found out.

    Attributes:
        directory: where everything lies.
        artefacts: one `keras_vit.export.Verification` per format.
        model: name, parameters, sizes. labels: class names, or None.
        contract, preprocessing: of the model.
        history: training curves, name -> list.
        pictures: test images with what the model said.
        versions, machine: of packages and hardware.
        created: local time, ISO 8601.
    """

    directory: pathlib.Path
    artefacts: list
    model: dict
    labels: list | None
    contract: object
    preprocessing: object
    history: dict
    pictures: list
    versions: dict
    machine: dict
    created: str

    @property
    def passed(self):
        """Whether every file passed."""
        return all(artefact.passed for artefact in self.artefacts)

    @property
    def html(self):
        """Path of the page."""
        return self.directory / "report.html"

    def to_dict(self):
        """Plain values, for JSON."""
        note = self.preprocessing
        return {
            "created": self.created,
            "passed": self.passed,
            "model": self.model,
            "labels": self.labels,
            "preprocessing": None if note is None else note.get_config(),
            "artefacts": [
                {**a.to_dict(), "path": a.path.name, "kept": a.passed}
                for a in self.artefacts
            ],
            "history": {
                name: [v if math.isfinite(v) else None for v in values]
                for name, values in self.history.items()
            },
            "versions": self.versions,
            "machine": self.machine,
        }

    def __str__(self):
        lines = [str(a) for a in self.artefacts]
        return "\n".join([*lines, f"report: {self.html}"])


def export_all(
    model,
    directory,
    validation,
    *,
    formats=None,
    history=None,
    sample=12,
    overwrite=False,
    verbose=1,
):
    """Export a model to every format, verify each file, and write a report.

    `directory` then holds `saved_model/`, `model.tflite`, `model_dynamic_int8.tflite`,
    `model.onnx`, `labels.txt` when the model knows its class names, `report.json` and
    `report.html`. All are moved into place at the end; a file that fails on the
    validation images is not kept, only reported.

    Args:
        model: functional or Sequential Keras model that takes images.
        directory: folder to write into; made when missing.
        validation: (images, labels) arrays, or an iterable of such batches, as
            in `verify`. Labels may be None.
        formats: which of "savedmodel", "tflite", "tflite_dynamic_int8", "onnx";
            None for all.
        history: training curves: dict of lists, Keras `History`, or path of a
            CSVLogger file.
        sample: how many test images the report shows.
        overwrite: whether files of an earlier export may be replaced. Other files
            in the folder are left alone.
        verbose: 0 for silence.

    Returns:
        `ExportReport`.

    Raises:
        FileExistsError: when a file exists and overwrite is False.
        ExportMismatch: when a file does not answer as the model does.
        TypeError, ValueError, OSError: as `to_tflite` and `verify`.
    """
    formats = _chosen(formats)
    history, reference = read_history(history), Reference(model)
    pair = validation if isinstance(validation, tuple) else (validation, None)
    batches = Batches(*pair, reference.contract)
    names = [*(FORMATS[name][0] for name in formats), *EXTRAS]
    room = ROOM * reference.parameter_bytes
    with _staging(directory, names, room, overwrite) as folder:
        paths = [_write(model, name, folder, verbose) for name in formats]
        runtimes = [open_file(path) for path in paths]
        gallery = Gallery(reference.contract, sample)
        found = verify_all(
            reference, runtimes, batches, verbose=verbose, observe=gallery.add
        )
        report = _report(reference, pathlib.Path(directory), found, history)
        report.pictures = gallery.pictures(reference.model)
        _write_extras(report, folder)
        _drop_failed(found, folder)
    for artefact in found:
        artefact.path = report.directory / artefact.path.name
    say(str(report), verbose)
    return report


def _chosen(formats):
    """Names in the order of FORMATS, so that float32 comes before 8 bits."""
    formats = list(FORMATS) if formats is None else list(formats)
    for name in formats:
        check_choice("formats", name, tuple(FORMATS))
    if not formats:
        raise ValueError("formats: must name at least one. Leave it out for all.")
    return [name for name in FORMATS if name in formats]


def _write(model, name, folder, verbose):
    """Export one format into the staging folder; gives the path."""
    file, function = FORMATS[name]
    say(f"{file}: writing", verbose)
    result = function(model, folder / file, verbose=0)
    say(str(dataclasses.replace(result, path=file)), verbose)
    return result.path


@contextlib.contextmanager
def _staging(directory, names, room, overwrite):
    """A hidden folder whose content moves into `directory` when all went well."""
    directory = pathlib.Path(directory).expanduser().absolute()
    fresh = not directory.exists()
    for name in names:
        files.check_target(directory / name, overwrite)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".export.", dir=directory))
    try:
        files.check_space(directory / names[0], room)
        yield folder
        for staged in sorted(folder.iterdir()):
            with files.replacing(directory / staged.name, overwrite) as temporary:
                os.rename(staged, temporary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if fresh and not any(directory.iterdir()):
            directory.rmdir()


def _report(reference, directory, found, history):
    model = reference.model
    return ExportReport(
        directory=directory.expanduser().absolute(),
        artefacts=found,
        model=_facts(reference),
        labels=getattr(model, "labels", None),
        contract=reference.contract,
        preprocessing=getattr(model, "preprocessing", None),
        history=history,
        pictures=[],
        versions=provenance.versions(),
        machine=provenance.machine(),
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _facts(reference):
    """What the model is, in a few numbers."""
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
    note = getattr(model, "preprocessing", None)
    if note is not None:
        facts["pixel_range"] = note.mode
    return facts


def _write_extras(report, folder):
    """labels.txt, report.json, report.html."""
    if report.labels:
        names = "\n".join(" ".join(str(name).split()) for name in report.labels)
        (folder / "labels.txt").write_text(names + "\n", encoding="utf-8")
    facts = json.dumps(report.to_dict(), indent=2, allow_nan=False)
    (folder / "report.json").write_text(facts + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page.render(report), encoding="utf-8")


def _drop_failed(found, folder):
    for artefact in found:
        path = folder / artefact.path.name
        if not artefact.passed and path.is_dir():
            shutil.rmtree(path)
        elif not artefact.passed:
            path.unlink()
