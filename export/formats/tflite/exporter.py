"""TFLite: one static graph of builtin operators, for phones."""

import contextlib
import functools
import pathlib
import re
import shutil

import numpy as np

from keras_vit import files
from keras_vit.choices import check_choice
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.conversion import litert_torch
from keras_vit.export.formats.savedmodel.exporter import write_savedmodel
from keras_vit.export.formats.tflite import arena
from keras_vit.export.formats.tflite.metadata import check_labels
from keras_vit.export.formats.write_and_verify import write_and_prove
from keras_vit.export.io.io_spec import check_suffix
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.io.signature import is_plain, plan, show_fields
from keras_vit.export.quantization.algorithms.trained_ranges import Trained
from keras_vit.export.quantization.auto import (
    Judge,
    check_unused,
    smallest,
    smallest_dressed,
)
from keras_vit.export.quantization.graph.packing import layer_path
from keras_vit.export.quantization.recipes import (
    CALIBRATED,
    INTEGER,
    RECIPES,
    check_calibration,
)
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.runtimes import SERVE

# Offsets inside a .tflite file are signed 32-bit numbers.
LIMIT = 2**31
# Memory while working, in sizes of the float32 model, by benchmarks/exports.py.
MEMORY = 8.0


@show_fields
def to_tflite(
    model,
    path,
    quantization=None,
    dynamic_batch=False,
    overwrite=False,
    verbose=1,
    calibration=None,
    validation=None,
    tolerance=0.5,
    labels=None,
    signatures=None,
    **options,
):
    """Write a `.tflite` file for LiteRT on phones and small computers.

    Builtin operators only, labels and normalisation in the metadata. It is run in
    LiteRT and compared with the model before it gets its name: float32 must stay
    within 1e-4 of the logits; 16, 8, 4 bits keep 40, 10, 6 dB of signal to noise.

    Args:
        model: Keras model that takes images. path: file to write.
        quantization: None for float32; "float16": weights in 16 bits;
            "dynamic_int8": dense layers with 8-bit weights, activations on the fly;
            "static_int8": dense and convolution layers in 8-bit integers with ranges
            from `calibration`; "full_int8": all in integers, for chips without
            floats; "int16x8": 8-bit weights, else 16-bit integers; "int4": weights
            in 4 bits, some in 8; "int4_blockwise": with a scale per 32 of them;
            "auto": the smallest that loses at most `tolerance` on `validation`.
        dynamic_batch: whether it takes any number of images; one is faster.
        overwrite: whether an existing file may be replaced. verbose: 0 for silence.
        calibration: 32 to 128 training images for static and integer recipes: an
            array (N, H, W, C) in the model's range, batches, a folder; or `Ranges`.
        validation, tolerance: for "auto": other images, or (images, labels); points
            of top-1, or of agreement without labels, that may be lost.
        labels: class names; None for `model.labels`. signatures: {name: options}.
        **options: fields of `keras_vit.export.Signature`, such as top=5.

    Returns:
        `keras_vit.export.Exported`; after "auto", `tried` is the table.

    Raises:
        ExportMismatch: when it does not answer as the model does.
        UnsupportedLayer: when an operator has no builtin counterpart.
        FileExistsError, TypeError, ValueError, RuntimeError: for what cannot be.
    """
    check_suffix(path, ".tflite")
    check_choice("quantization", quantization, (None, *RECIPES, *CALIBRATED, "auto"))
    require_tensorflow("to_tflite")
    reference = Reference(model, dynamic_batch)
    faces = plan(reference, signatures, quantization, **options)
    labels = check_labels(labels, model, reference.contract)
    _check_size(path, reference)
    files.check_target(path, overwrite)
    images = check_calibration(quantization, calibration, reference, verbose)
    given = (overwrite, verbose, images, faces, labels)
    if quantization == "auto":
        judge = Judge(reference, validation, tolerance)
        return auto_tflite(reference, path, judge, *given)
    check_unused(validation, quantization)
    return export_tflite(reference, path, quantization, None, *given)


def auto_tflite(
    reference,
    path,
    judge,
    overwrite=False,
    verbose=1,
    images=None,
    faces=None,
    labels=None,
):
    """The file of the smallest recipe that is good enough.

    Recipes are judged by the model's own face; one with another is written last.

    Args:
        reference: `Reference`. path, overwrite, verbose: as in `to_tflite`.
        judge: `Judge`. images: calibration images, or None.
        faces, labels: as in `export_tflite`.
    """

    def write(name, file, source):
        own = images if name in CALIBRATED else None
        shown = 0 if own is None else verbose  # calibration takes its time
        return export_tflite(
            reference, file, name, source, verbose=shown, images=own, labels=labels
        )

    def dress(name):
        own = images if name in CALIBRATED else None
        given = (overwrite, verbose, own, faces, labels)
        return export_tflite(reference, path, name, None, *given)

    recipes = dict.fromkeys((*RECIPES, *CALIBRATED), "")
    if images is None:
        recipes.update(dict.fromkeys(CALIBRATED, "needs calibration images"))
    if reference.contract.batch is None:
        recipes.update(dict.fromkeys(CALIBRATED, "needs a batch of 1"))
    if is_plain(faces):
        return smallest(path, judge, recipes, write, overwrite, verbose)
    return smallest_dressed(path, judge, recipes, write, dress, overwrite, verbose)


def export_tflite(
    reference,
    path,
    quantization,
    source=None,
    overwrite=False,
    verbose=1,
    images=None,
    faces=None,
    labels=None,
):
    """As `to_tflite`, for whoever has a float32 file of the same model already.

    Args:
        reference: `Reference`. path, quantization, overwrite, verbose: as in
            `to_tflite`.
        source: that file, or None.
        images: calibration images as `check_calibration` gives them, or None.
        faces: as `plan` gives them, or None for the model's own.
        labels: as `check_labels` gives them, or None.
    """
    faces = plan(reference) if faces is None else faces
    labels = check_labels(labels, reference.model, reference.contract)
    calibrated = CALIBRATED.get(quantization)
    if quantization in INTEGER:
        calibrated = functools.partial(calibrated, mode=reference.contract.stated_mode)
    first = None if calibrated else quantization
    cores, notes = list(dict.fromkeys(faced.core for faced in faces.values())), []
    _check_ranges(images, cores[0], reference)

    def parts(file):
        return [file.with_suffix(f".core{i}.tflite") for i in range(len(cores))]

    def write(file):
        for core, part in zip(cores, parts(file), strict=True):
            whole = core.reference()
            write_tflite(whole, part, first, source if whole is reference else None)

    def finish(file):
        if calibrated:
            calibrated(parts(file)[0], parts(file)[0], images, verbose)
        shown = [{n: f.face for n, f in faces.items() if f.core is c} for c in cores]
        pairs = list(zip(parts(file), shown, strict=True))
        given = (file, pairs, reference.model.name, labels)
        notes.extend(arena.assemble_measured(quantization, *given))

    return write_and_prove(
        reference,
        path,
        write,
        calibrate=finish,
        images=_held(images),
        quantization=quantization,
        room=(2.2 if quantization is None else 2.5) + len(cores),
        overwrite=overwrite,
        verbose=verbose,
        faces=faces,
        memory=MEMORY,
        notes=notes,
    )


def _held(images):
    """The images that were given, if they were, to be compared on."""
    images = images.images if isinstance(images, Trained) else images
    return images if isinstance(images, np.ndarray) else None


def _check_ranges(images, core, reference):
    """Refuse saved ranges for a graph that they were not taken in."""
    saved = images is not None and not isinstance(images, np.ndarray)
    if saved and core.reference() is not reference:
        raise ValueError(
            "calibration: saved ranges know nothing of output='features', got them "
            "for a signature that gives features. Pass the images themselves."
        )


def _check_size(path, reference):
    if reference.parameter_bytes > 0.99 * LIMIT:
        raise ValueError(
            f"{path}: a .tflite file holds at most 2 GiB, got a model of "
            f"{reference.parameter_bytes / 2**30:.1f} GiB. Use to_onnx, or a smaller "
            "variant."
        )


def write_tflite(reference, file, quantization=None, source=None):
    """Write the file and audit its operators, without comparing values.

    Args:
        reference: `Reference`. file: where.
        quantization: None, or a recipe that needs no calibration.
        source: float32 `.tflite` of the same model, if there is one already.

    Raises:
        UnsupportedLayer: naming the operator.
    """
    plain = pathlib.Path(file).with_suffix(".float32.tflite")
    with contextlib.ExitStack() as stack:
        if source is None:
            source = plain if quantization else file
            stack.callback(plain.unlink, missing_ok=True)
            write_float32(reference, source)
        if quantization is not None:
            RECIPES[quantization](source, file)
        elif source != file:
            shutil.copyfile(source, file)
    static = reference.contract.batch is not None
    tflite_file.check(pathlib.Path(file).name, tflite_file.audit(file), static)


def write_float32(reference, file):
    """The file that recipes start from, by the converter that was chosen.

    Args:
        reference: `Reference`. file: where.
    """
    if litert_torch.chosen():
        return litert_torch.convert(reference, file)
    folder = pathlib.Path(file).with_suffix(".saved")
    try:
        write_savedmodel(reference, folder)
        pathlib.Path(file).write_bytes(convert(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def convert(folder):
    """Turn a SavedModel into the bytes of a `.tflite` file.

    The only place that knows TensorFlow's converter.

    Args:
        folder: SavedModel with the signature `serving_default`.

    Returns:
        bytes.

    Raises:
        UnsupportedLayer: when an operator has no builtin counterpart.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=[SERVE]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return converter.convert()
    except Exception as err:
        raise UnsupportedLayer(_missing_operators(str(err))) from err


def _missing_operators(text):
    """The converter's long complaint in one sentence, with the layers it is about."""
    named = re.findall(r"\"([^\"@\n]+)@[^\n]*'(tf\.\w+)' op is neither", text)
    names = [f"{operator} in layer {layer_path(path)!r}" for path, operator in named]
    if not names:
        found = re.findall(r"'(tf\.\w+)' op is neither|\b(Flex\w+)", text)
        names = [a or b for a, b in found]
    found = ", ".join(sorted(set(names))) or text.strip()[:300]
    return (
        f"tflite: every operator must have a builtin counterpart, got {found}. Replace "
        "the layer that needs it, or use to_savedmodel."
    )
