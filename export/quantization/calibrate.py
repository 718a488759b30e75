"""Calibration, once for any number of exports."""

from typing import Any

import keras
import numpy as np

from keras_vit.choices import check_choice
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.quantization.algorithms.prepare_graph import split_all
from keras_vit.export.quantization.calibration import observer, statistics
from keras_vit.export.quantization.calibration.clipping import DEFAULT, METHODS
from keras_vit.export.quantization.calibration.saved_ranges import (
    Ranges,
    fingerprint,
    signature,
)
from keras_vit.export.quantization.float_graph import float_graph
from keras_vit.export.quantization.rewrites.split_outliers import find_mlps
from keras_vit.export.runtime.console import say


def calibrate(
    model: keras.Model, images: Any, method: str = DEFAULT, verbose: int = 1
) -> Ranges:
    """Calibrate on images once, for any number of exports.

    Args:
        model: functional or Sequential Keras model that takes images.
        images: as `calibration` of `keras_vit.export.to_tflite`.
        method: how full_int8 chooses the range of 8 bits: "min_max", "percentile" or
            "mse"; see `keras_vit.export.quantization.calibration.clipping`.
        verbose: 0 for silence.

    Returns:
        `Ranges`. Give it to `to_tflite(calibration=...)`, or save it first and give
        the path.

    Raises:
        TypeError, ValueError, RuntimeError: as `to_tflite`.
    """
    check_choice("method", method, METHODS)
    reference, graph = float_graph(model)
    images = read_calibration(images, reference, verbose)
    say(f"calibrating on {len(images)} images", verbose)
    wanted = [mlp.gelu.outputs[0] for mlp in find_mlps(graph)]
    hidden = observer.ranges(graph, images, wanted, verbose) if wanted else {}
    result = Ranges(fingerprint(reference.model), len(images), {}, {}, {})
    result.spans[signature(graph)] = hidden
    split_all(graph, result, 0)
    observed = statistics.collect_statistics(graph, images, verbose, method)
    spans = result.spans.setdefault(signature(graph), {})
    for number, ends in observed.limits.items():
        spans.setdefault(number, tuple(np.array([end], "float32") for end in ends))
    result.narrow.update(observed.narrow)
    result.energies.update(observed.energies)
    return result
