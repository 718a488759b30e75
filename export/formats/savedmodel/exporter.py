"""SavedModel export: for TensorFlow Serving, and the first step to TFLite."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Unpack

import keras

from keras_vit.export.conversion.saved_model import write_signatures
from keras_vit.export.formats.run_export import check_options, run_export
from keras_vit.export.formats.write_and_verify import Exported
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.io.signature import SignatureOptions, show_fields
from keras_vit.types import FilePath

# Memory while working, in sizes of the model.
MEMORY = 1.5


@show_fields
def to_savedmodel(
    model: keras.Model,
    path: FilePath,
    *,
    dynamic_batch: bool = True,
    overwrite: bool = False,
    verbose: int = 1,
    labels: Sequence[str] | None = None,
    signatures: dict[str, Any] | None = None,
    **options: Unpack[SignatureOptions],
) -> Exported:
    """Export to a SavedModel that tf.saved_model loads without this package.

    It is loaded again and compared with the model before it gets its name.

    Args:
        model: functional or Sequential Keras model that takes images.
        path: folder to write.
        dynamic_batch: whether it takes any number of images at once, as servers
            and notebooks expect; else exactly one.
        overwrite: whether an existing folder may be replaced.
        verbose: 0 for silence.
        labels: class names, for `assets.extra/labels.txt`; None for `model.labels`.
        signatures: {name: options}, for several ways to call it, such as
            {"serving_default": {}, "classify_jpeg": {"preprocessing": "decode",
            "classifier_activation": "softmax", "top": 5}}.
        **options: fields of `keras_vit.export.Signature`.

    Returns:
        `keras_vit.export.Exported`.

    Raises:
        FileExistsError: when the folder exists and overwrite is False.
        ExportMismatch: when it does not answer as the model does.
        TypeError, ValueError: for a model or option that cannot be exported.
        RuntimeError: when Keras does not run on TensorFlow.
    """
    require_tensorflow("to_savedmodel")
    reference = Reference(model, dynamic_batch)
    checked = check_options(
        SavedModel(),
        reference,
        signatures=signatures,
        signature=options,
        path=path,
        labels=labels,
        overwrite=overwrite,
        verbose=verbose,
    )
    return run_export(SavedModel(), reference, None, checked)


class SavedModel:
    """SavedModel folders, as `run_export` writes them; see `Format`."""

    recipes: Mapping[str, Any] = MappingProxyType({})
    preparations = (None, "embed", "decode")

    def check(self, reference, recipe, path):
        """Accept every model."""

    def hindrance(self, reference, recipe):
        """Return "": there are no recipes."""
        return ""

    def needs(self, reference, recipe, options):
        """Disk and memory of the folder."""
        return 1.1, MEMORY

    def convert(self, reference, file, options):
        """Write one TensorFlow function per signature."""
        write_signatures(options.adapted, file, options.labels)

    def quantize(self, reference, file, recipe, options):
        """Do nothing: there are no recipes."""

    def finish(self, reference, file, recipe, options):
        """Do nothing: conversion writes everything."""
        return ()

    def beside(self, path):
        """Return nothing: the folder is complete."""
        return ()
