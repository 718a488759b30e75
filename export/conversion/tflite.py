"""Conversion to a float32 `.tflite` file, by TensorFlow or litert-torch."""

import pathlib
import re
import shutil

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.conversion import litert_torch
from keras_vit.export.conversion.layer_names import layer_path
from keras_vit.export.conversion.saved_model import write_savedmodel
from keras_vit.export.io.io_spec import SERVE


def write_float32(reference, file):
    """Write the float32 `.tflite` file that recipes start from.

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
    """Convert a SavedModel to the bytes of a `.tflite` file.

    The only place that knows TensorFlow's converter.

    Args:
        folder: SavedModel with the signature `serving_default`.

    Returns:
        bytes.

    Raises:
        UnsupportedLayer: when an operator has no builtin counterpart. Any other error
            of the converter stays what it is.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=[SERVE]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return converter.convert()
    except Exception as err:
        missing = _missing_operators(str(err))
        if not missing:
            raise
        raise UnsupportedLayer(
            f"tflite: every operator must have a builtin counterpart, got {missing}. "
            "Replace the layer that needs it, or use to_savedmodel."
        ) from err


def _missing_operators(text):
    """Parse unsupported operators, with their layers, from a converter's message."""
    named = re.findall(r"\"([^\"@\n]+)@[^\n]*'(tf\.\w+)' op is neither", text)
    names = [f"{operator} in layer {layer_path(path)!r}" for path, operator in named]
    if not names:
        found = re.findall(r"'(tf\.\w+)' op is neither|\b(Flex\w+)", text)
        names = [a or b for a, b in found]
    return ", ".join(sorted(set(names)))
