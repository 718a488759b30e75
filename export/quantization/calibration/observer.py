"""The observer: minimum and maximum of activations per channel."""

import numpy as np

from keras_vit.export.quantization.calibration.saved_ranges import Ranges
from keras_vit.export.runtime.console import quiet
from keras_vit.progress import Bar


def ranges(graph, images, wanted, verbose=1):
    """Observe the smallest and largest value of each channel over all images.

    Minimum and maximum keep every calibration image in range; what would widen a range
    beyond use is handled where it arises, by `split_outliers`. Source: Krishnamoorthi
    2018, arXiv:1806.08342, section 3.2.1 (min-max calibration).

    Args:
        graph: float `TFLiteGraph` with one input.
        images: (N, H, W, C) float32, or the `Ranges` of such.
        wanted: numbers of tensors.
        verbose: 0 for no progress bar.

    Returns:
        {number: (low, high)}, arrays (C,).
    """
    if isinstance(images, Ranges):
        return images.of(graph, wanted)
    observed = {}

    def see(number, value):
        extend_ranges(observed, number, value.reshape(-1, value.shape[-1]))

    watch(graph, images, wanted, see, verbose)
    return observed


def open_graph(graph, also=()):
    """Open a LiteRT interpreter of a graph, with its tensor numbers there.

    Args:
        graph: `TFLiteGraph`. also: numbers of further tensors that it shall give.
    """
    from ai_edge_litert.interpreter import Interpreter

    content, numbers = graph.save(also)
    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter, numbers


def watch(graph, images, wanted, see, verbose=1):
    """Run images through a graph, one by one, and pass on its tensors.

    Args:
        graph: float `TFLiteGraph` with one input. images: (N, H, W, C) float32.
        wanted: numbers of tensors. see: function of (number, array), called for each
            of them and each image; the array is valid during the call.
        verbose: 0 for no progress bar.
    """
    inner = [number for number in wanted if number not in graph.inputs]
    interpreter, numbers = open_graph(graph, also=inner)
    bar = Bar(len(images), "image", verbose)
    for index in range(len(images)):
        image = images[index : index + 1]
        interpreter.set_tensor(numbers[graph.inputs[0]], image)
        interpreter.invoke()
        for number in wanted:
            known = number in graph.inputs
            see(number, image if known else interpreter.get_tensor(numbers[number]))
        bar.add(1)


def extend_ranges(observed, key, rows):
    """Extend the range of a tensor by more rows.

    Args:
        observed: {key: (low, high)}, arrays (C,), changed in place. rows: (N, C).
    """
    low, high = rows.min(axis=0), rows.max(axis=0)
    if key in observed:
        low = np.minimum(low, observed[key][0])
        high = np.maximum(high, observed[key][1])
    observed[key] = low, high


def whole_range(span, number):
    """Range (low, high) of a whole tensor, from its channels' ranges."""
    low, high = span[number]
    return float(low.min()), float(high.max())
