"""Calibration of an ONNX graph: the activation range of each channel."""

import copy
import pathlib

from keras_vit.export.formats.onnx import serialization
from keras_vit.export.io.io_spec import data_file
from keras_vit.export.quantization.calibration.observer import extend_ranges
from keras_vit.export.runtime.console import quiet
from keras_vit.export.runtime.runtimes import open_session
from keras_vit.progress import Bar


def ranges(graph, file, wanted, images, verbose=1):
    """Smallest and largest activation of each channel, over all images and positions.

    Args:
        graph: float `OnnxGraph`. file: that it was read from; a helper file is written
            beside it for a while.
        wanted: names of tensors.
        images: (N, H, W, C) float32.
        verbose: 0 for no progress bar.

    Returns:
        {name: (low, high)}, arrays over the last axis.
    """
    input_name = graph.inputs[0].name
    names = sorted({*wanted, graph.outputs[0].name} - {input_name})
    probe = pathlib.Path(file).with_suffix(".probe.onnx")
    try:
        serialization.save(_showing(graph, names), probe)
        with quiet():
            session = open_session(probe)
    finally:
        probe.unlink(missing_ok=True)
        data_file(probe).unlink(missing_ok=True)
    bar = Bar(len(images), "image", verbose)
    observed = {}
    for image in images:
        values = session.run(names, {input_name: image[None]})
        for name, value in zip((input_name, *names), (image, *values), strict=True):
            extend_ranges(observed, name, value.reshape(-1, value.shape[-1]))
        bar.add(1)
    return observed


def _showing(graph, names):
    """Copy the graph with inner tensors as outputs."""
    from onnx import helper

    twin = copy.copy(graph)
    twin.outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    return twin
