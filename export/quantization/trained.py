"""Integers that a model was trained with, and how dense layers hold integers."""

import copy
import dataclasses
import pathlib

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.folds import fold_constants
from keras_vit.export.quantization.graph import INT4, INT8, Graph, Tensor
from keras_vit.export.quantization.norms import is_dense
from keras_vit.export.quantization.static import find_layers

# Of FULLY_CONNECTED with weights of 4 bits, with a scale per channel or block.
VERSION = 12


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a file must hold of a model that was trained under its integers.

    Args:
        recipe: that it was trained for.
        rows: (integers (out, in), steps (out,), bits) of each dense layer.
    """

    recipe: str
    rows: tuple

    def check(self, quantization, calibration):
        """Refuse another recipe, and images that would change nothing.

        Raises:
            ValueError: saying which recipe it was trained for.
        """
        if quantization != self.recipe:
            raise ValueError(
                f"quantization: must be {self.recipe!r}, which the model was trained "
                f"for, got {quantization!r}. Export model.finished()[0] for others."
            )
        if calibration is not None:
            raise ValueError(
                "calibration: must be None for a model that was trained under its "
                "integers, got images. Leave it out."
            )


def store(graph, op, integers, scale, bits, block=0):
    """Give a dense layer integer weights, its input quantized per token at run time.

    Args:
        graph: `Graph`. op: dense layer of it.
        integers: int8 (out, in). scale: (out, 1) or (out, in / block).
        bits: 4 or 8. block: weights that share a scale, or 0.
    """
    old, kind = graph.tensors[op.inputs[1]], INT8 if bits == 8 else INT4
    made = Tensor(old.name, old.shape, kind, integers, scale, block=block)
    if not block:
        made.scale, made.zero = scale[:, 0], np.zeros(len(scale), "int64")
    op.inputs[1] = graph.append(made)
    op.raw, op.version = copy.deepcopy(op.raw), VERSION
    op.raw.builtinOptions.asymmetricQuantizeInputs = True


def int4_trained(source, target, plan):
    """Store weights that were trained on their grid, as they are.

    Args:
        source: float32 `.tflite` file of `QuantizationAware.finished()`.
        target: file to write.
        plan: `Trained`, as that gives it.

    Raises:
        UnsupportedLayer: for a dense layer that the plan does not know.
    """
    graph, left = Graph(source), list(plan.rows)
    fold_constants(graph)
    for op in [op for op in find_layers(graph) if is_dense(graph, op)]:
        weight = graph.value(op.inputs[1])
        fits = [row for row in left if _same(weight, row[0], row[1][:, None])]
        if not fits:
            raise UnsupportedLayer(
                "int4: every dense layer must hold the weights it was trained with, "
                f"got others in {graph.tensors[op.inputs[1]].name!r}. Use only "
                "keras.layers.Dense in the model."
            )
        integers, steps, bits = fits[0]
        left = [row for row in left if row is not fits[0]]
        store(graph, op, integers, steps[:, None].astype("float32"), bits)
    pathlib.Path(target).write_bytes(graph.save()[0])


def _same(weight, integers, step):
    if weight.shape != integers.shape:
        return False
    return bool((np.abs(weight - integers * step) <= 1e-3 * step).all())
