"""The float32 graph of a model that calibration and recipes share."""

import os
import tempfile

from keras_vit.export.conversion.tflite import write_float32
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.quantization.algorithms.prepare_graph import prepare
from keras_vit.export.quantization.graph.graph import TFLiteGraph
from keras_vit.export.runtime.console import quiet


def float_graph(model):
    """Convert a model to its float32 graph, after the rewrites without images.

    Args:
        model: functional or Sequential Keras model that takes images.

    Returns:
        `Reference` of the model, and `TFLiteGraph`.

    Raises:
        TypeError, ValueError, RuntimeError: as `keras_vit.export.to_tflite`.
    """
    require_tensorflow("float_graph")
    reference = Reference(model, dynamic_batch=False)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.tflite")
        with quiet():
            write_float32(reference, path)
        graph = TFLiteGraph(path)
    prepare(graph)
    return reference, graph
