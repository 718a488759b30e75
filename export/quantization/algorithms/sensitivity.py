"""Sensitivity: which layers lose most in 8-bit integers."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.quantization.algorithms import prepare_graph, static_int8
from keras_vit.export.quantization.calibration.observer import open_graph
from keras_vit.export.quantization.calibration.saved_ranges import Ranges, check_ranges
from keras_vit.export.quantization.float_graph import float_graph
from keras_vit.export.quantization.graph.dense_weights import static_layer
from keras_vit.export.runtime.console import say
from keras_vit.export.runtime.differences import Tally
from keras_vit.progress import Bar
from keras_vit.types import FilePath

# Images that each layer is judged on.
JUDGED = 16


@dataclasses.dataclass(frozen=True)
class LayerSensitivity:
    """One layer, and the signal-to-noise ratio in dB when it alone is quantized."""

    layer: str
    decibel: float


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Layers by their loss in 8 bits, the worst first.

    Args:
        rows: list of `LayerSensitivity`.
    """

    rows: list

    def worst(self, count: int) -> tuple[str, ...]:
        """Names of the layers with the largest loss, for `Ranges.keeping`.

        Args:
            count: how many.
        """
        return tuple(row.layer for row in self.rows[:count])

    def __str__(self):
        wide = max(len(row.layer) for row in self.rows)
        lines = [f"{'layer in 8 bits alone':{wide}}  dB"]
        lines += [f"{row.layer:{wide}}  {row.decibel:.1f}" for row in self.rows]
        return "\n".join(lines)


def sensitivity(
    model: keras.Model, images: Any, ranges: Ranges | FilePath, verbose: int = 1
) -> Sensitivity:
    """Quantize each dense layer alone, and measure the output error.

    Noise of independent layers adds up, so the layers at the head of the table decide
    what a file costs; `ranges.keeping(table.worst(2))` spares them. Source: Wu et al.
    2020, arXiv:2004.09602, section 6.1 (sensitivity analysis, partial quantization).

    Args:
        model: functional or Sequential Keras model that takes images.
        images: as `calibration` of `keras_vit.export.to_tflite`; other images than
            those of `ranges` judge more fairly.
        ranges: `Ranges` of the model, or the path of such. verbose: 0 for silence.

    Returns:
        `Sensitivity`.

    Raises:
        TypeError, ValueError, RuntimeError: as `keras_vit.export.to_tflite`.
    """
    reference, graph = float_graph(model)
    ranges = check_ranges(ranges, reference.model)
    images = read_calibration(images, reference, verbose)
    images = images[np.linspace(0, len(images) - 1, JUDGED).round().astype(int)]
    named = prepare_graph.named_layers(graph)
    names = {id(op): name for name, op in named.items()}
    prepare_graph.split_all(graph, ranges, 0)
    places = [i for i, op in enumerate(graph.operators) if id(op) in names]
    wanted = [n for op in named.values() for n in (op.inputs[0], op.outputs[0])]
    ranges.of(graph, wanted)
    limits = {number: ranges.narrow[number] for number in wanted}
    expected = _answers(graph, images)
    say(f"{len(places)} layers", verbose)
    bar = Bar(len(places), "layer", verbose)
    rows = []
    for place in places:
        changed = graph.copy()
        op = changed.operators[place]
        given = limits[op.inputs[0]]
        static_layer(changed, op, given, static_int8.result_range(changed, limits, op))
        tally = Tally()
        tally.add(expected, _answers(changed, images))
        rows.append(LayerSensitivity(names[id(graph.operators[place])], tally.decibel))
        bar.add(1)
    return Sensitivity(sorted(rows, key=lambda row: row.decibel))


def _answers(graph, images):
    """Outputs of a graph for all images, one by one, (N, outputs)."""
    interpreter, numbers = open_graph(graph)
    rows = []
    for image in images:
        interpreter.set_tensor(numbers[graph.inputs[0]], image[None])
        interpreter.invoke()
        answers = [interpreter.get_tensor(numbers[i]) for i in graph.outputs]
        rows.append(np.concatenate([answer.reshape(-1) for answer in answers]))
    return np.stack(rows)
