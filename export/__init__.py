"""Export a Keras model to SavedModel, TFLite or ONNX, and verify each file.

This room knows file formats and runtimes. Data sets, epochs and recipes for
training belong to `keras_vit.training`.
"""

if __name__ != "keras_vit.export":
    raise ImportError(
        f"export: must be imported as keras_vit.export, got {__name__!r}. "
        "Write `from keras_vit import export`."
    )

from keras_vit import _needs

if not _needs.has("tensorflow"):
    raise ImportError(_needs.TENSORFLOW.format(__name__))

from keras_vit.export.benchmark import Benchmark, benchmark
from keras_vit.export.comparison.verification import Verification
from keras_vit.export.conversion.litert_torch import through_litert_torch
from keras_vit.export.export_all import export_all
from keras_vit.export.export_for import AppExport, export_for
from keras_vit.export.formats.onnx.exporter import to_onnx
from keras_vit.export.formats.savedmodel.exporter import to_savedmodel
from keras_vit.export.formats.tflite.exporter import to_tflite
from keras_vit.export.formats.write_and_verify import Exported
from keras_vit.export.io.signature import Signature
from keras_vit.export.report.export_report import ExportReport
from keras_vit.export.verify import verify

__all__ = [
    "AppExport",
    "Benchmark",
    "ExportReport",
    "Exported",
    "Signature",
    "Verification",
    "benchmark",
    "export_all",
    "export_for",
    "through_litert_torch",
    "to_onnx",
    "to_savedmodel",
    "to_tflite",
    "verify",
]
