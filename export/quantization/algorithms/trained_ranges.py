"""Export of quantization-aware models: weights and ranges that training fixed."""

import copy
import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.calibration.statistics import collect_statistics
from keras_vit.export.quantization.graph.dense_weights import (
    dynamic_layer,
    find_layers,
    integer_gelu,
    static_layer,
)
from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import (
    INT4,
    INT8,
    TFLiteGraph,
    TFLiteTensor,
)
from keras_vit.export.quantization.rewrites import fold_constants
from keras_vit.export.quantization.rewrites.split_outliers import (
    UNBOUNDED,
    find_mlps,
    split_units,
)

# Of FULLY_CONNECTED with weights of 4 bits, with a scale per channel or block.
VERSION = 12
# Operators that hand 8-bit codes on as they are, and the place of their data.
CARRIERS = {"RESHAPE": 0, "TRANSPOSE": 0, "STRIDED_SLICE": 0, "MINIMUM": 0}


class TrainedLayer(NamedTuple):
    """Integer weights and ranges of one dense layer after training.

    Args:
        integers: (out, in) int8. steps: (out,) float32. bits: 4 or 8.
        given, result: (low, high) of input and output, or None for none of its own.
        bound: (out,) above which hidden units pass around, or None.
    """

    integers: np.ndarray
    steps: np.ndarray
    bits: int
    given: tuple | None = None
    result: tuple | None = None
    bound: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class TrainedIntegers:
    """All weights and ranges that quantization-aware training fixed for a file.

    Args:
        recipe: that it was trained for.
        rows: a `TrainedLayer` of each dense layer.
        scores: (low, high) of the attention scores of each block, of full_int8.
        images: calibration images for what is not learned, of full_int8.
    """

    recipe: str
    rows: tuple
    scores: tuple = ()
    images: np.ndarray | None = None

    @property
    def needs_images(self):
        """Whether 16-bit ranges are left that calibration images must set."""
        return self.recipe == "full_int8"

    def check(self, quantization, calibration):
        """Refuse another recipe, and calibration images that would change nothing.

        Raises:
            ValueError: saying which recipe it was trained for.
        """
        if quantization != self.recipe:
            raise ValueError(
                f"quantization: must be {self.recipe!r}, which the model was trained "
                f"for, got {quantization!r}. Export model.finished()[0] for others."
            )
        if calibration is not None and not self.needs_images:
            raise ValueError(
                "calibration: must be None for a model that was trained under its "
                "integers, got images. Leave it out."
            )


def store(graph, op, integers, scale, bits, block=0):
    """Store integer weights in a dense layer whose input is quantized at run time.

    Args:
        graph: `TFLiteGraph`. op: dense layer of it.
        integers: int8 (out, in). scale: (out, 1) or (out, in / block).
        bits: 4 or 8. block: weights that share a scale, or 0.
    """
    old, kind = graph.tensors[op.inputs[1]], INT8 if bits == 8 else INT4
    made = TFLiteTensor(old.name, old.shape, kind, integers, scale, block=block)
    if not block:
        made.scale, made.zero = scale[:, 0], np.zeros(len(scale), "int64")
    op.inputs[1] = graph.append(made)
    op.raw, op.version = copy.deepcopy(op.raw), VERSION
    op.raw.builtinOptions.asymmetricQuantizeInputs = True


def int4_trained(source, target, plan):
    """Store weights that were trained in 4 bits, without rounding again.

    Args:
        source: float32 `.tflite` file of `QuantizationAware.finished()`.
        target: file to write.
        plan: `TrainedIntegers`, as that gives it.

    Raises:
        UnsupportedLayer: for a dense layer that the plan does not know.
    """
    graph = TFLiteGraph(source)
    fold_constants.fold_constants(graph)
    for op, row in _matched(graph, plan):
        steps = row.steps[:, None].astype("float32")
        store(graph, op, row.integers, steps, row.bits)
    pathlib.Path(target).write_bytes(graph.save()[0])


def static_trained(source, target, plan):
    """Store weights and ranges trained for static_int8, without rounding again.

    Args:
        source, target, plan, Raises: as in `int4_trained`.
    """
    graph = TFLiteGraph(source)
    found, _ = rewrite_on_grid(graph, plan)
    record_scales(graph, found)
    for op, row in found:
        if row.given is None:
            dynamic_layer(graph, op)
        else:
            static_layer(graph, op, row.given, row.result)
    integer_gelu(graph)
    pathlib.Path(target).write_bytes(graph.save()[0])


def observed_trained(source, plan, verbose):
    """Prepare the float graph with trained weights, and its `Statistics`.

    Args:
        source: as in `int4_trained`. plan: `TrainedIntegers` with images.
        verbose: 0 for no progress bar.

    Returns:
        `TFLiteGraph`, `Statistics` with learned ranges among the observed, and the
        dense layers that shall work on int16.
    """
    graph = TFLiteGraph(source)
    matched, branches = rewrite_on_grid(graph, plan)
    seen = collect_statistics(graph, plan.images, verbose)
    narrow = {**seen.narrow, **learned_ranges(graph, matched, plan.scores)}
    record_scales(graph, matched)
    return graph, dataclasses.replace(seen, narrow=narrow), branches


def rewrite_on_grid(graph, plan):
    """Apply the rewrites that keep trained weights on their integer grid.

    Args:
        graph: float `TFLiteGraph`. plan: `TrainedIntegers`.

    Returns:
        list of (dense layer, `TrainedLayer`), and the small dense layers that carry
        what hidden units hold above their bounds.

    Raises:
        UnsupportedLayer: for a dense layer that the plan does not know.
    """
    fold_constants.fold_constants(graph)
    matched, branches = _matched(graph, plan), []
    fold_constants.fold_query_scale(graph)
    fold_constants.fold_norm_scale(graph)
    bounds = {id(op): row.bound for op, row in matched if row.bound is not None}
    for mlp in find_mlps(graph):
        bound = bounds.get(id(mlp.first), np.array([UNBOUNDED]))
        units = np.flatnonzero(bound < UNBOUNDED)
        if len(units):
            branches += split_units(graph, mlp, units, float(bound[units[0]]))
    return matched, branches


def record_scales(graph, matched):
    """Record each weight's trained scale in the graph.

    A folded factor changes a row's step and not its integers.

    Args:
        graph: float `TFLiteGraph`. matched: list of (dense layer, `TrainedLayer`).
    """
    for op, row in matched:
        old, codes = graph.tensors[op.inputs[1]], row.integers.astype("float64")
        length = (codes**2).sum(axis=1)
        steps = (old.data * codes).sum(axis=1) / np.maximum(length, 1)
        steps = np.where(length > 0, steps, row.steps).astype("float32")
        op.inputs[1] = graph.append(dataclasses.replace(old, scale=steps))


def learned_ranges(graph, matched, scores):
    """{tensor: (low, high)} of trained ranges, for every tensor that has one.

    Args:
        graph: float `TFLiteGraph`. matched: list of (dense layer, `TrainedLayer`).
        scores: (low, high) of the scores of each block, in order.
    """
    narrow = {}
    for op, row in matched:
        if row.result is not None:
            narrow[op.outputs[0]] = row.result
        chain, maker = _back(graph, op.inputs[0])
        if row.given is not None and maker is not None:
            narrow.update(dict.fromkeys(chain, row.given))
    made = [graph.maker(op.inputs[0]) for op in graph.ordered() if op.name == "SOFTMAX"]
    products = [op for op in made if op is not None and op.name == "BATCH_MATMUL"]
    for op, span in zip(products, scores, strict=False):  # a pooling may follow
        narrow[op.outputs[0]] = span
    return narrow


def _back(graph, number):
    """The tensors with the same codes, back to the operator that computes them."""
    chain = [number]
    while True:
        maker = graph.maker(number)
        if maker is None or maker.name not in CARRIERS:
            return chain, maker
        number = maker.inputs[CARRIERS[maker.name]]
        chain.append(number)


def _matched(graph, plan):
    """[(dense layer, `TrainedLayer`)] of a graph, matched by their weights."""
    left, matched = list(plan.rows), []
    for op in [op for op in find_layers(graph) if is_dense(graph, op)]:
        weight = graph.value(op.inputs[1])
        fits = [row for row in left if _same(weight, row[0], row[1][:, None])]
        if not fits:
            raise UnsupportedLayer(
                f"{plan.recipe}: every dense layer must hold the weights it was "
                f"trained with, got others in {graph.tensors[op.inputs[1]].name!r}. "
                "Use only keras.layers.Dense in the model."
            )
        left = [row for row in left if row is not fits[0]]
        matched.append((op, fits[0]))
    return matched


def _same(weight, integers, step):
    if weight.shape != integers.shape:
        return False
    return bool((np.abs(weight - integers * step) <= 1e-3 * step).all())
