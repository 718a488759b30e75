"""int4: dense weights in 4 bits, rounded by GPTQ on calibration images."""

import functools
import os
import pathlib

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.images.calibration_images import evenly_spaced
from keras_vit.export.quantization.algorithms.gptq import gptq, scales_per_column
from keras_vit.export.quantization.algorithms.int4_seconds import int4_seconds
from keras_vit.export.quantization.algorithms.prepare_graph import prepare
from keras_vit.export.quantization.algorithms.trained_ranges import (
    TrainedIntegers,
    int4_trained,
    store,
)
from keras_vit.export.quantization.calibration.layerwise import LayerwiseRunner, rows_of
from keras_vit.export.quantization.graph.dense_weights import dynamic_layer, find_layers
from keras_vit.export.quantization.graph.find_norms import bias_of, is_dense
from keras_vit.export.quantization.graph.graph import TFLiteGraph
from keras_vit.export.quantization.rewrites.rotate_values import rotate_values
from keras_vit.export.runtime.console import say
from keras_vit.progress import Bar, about

# Size to stay below, as a share of the float32 file: what 4 bits leave of it goes to
# the layers that need 8 most. Labels and metadata make it 0.18.
BUDGET, MARGIN = 0.1785, 2048
# Images that tell how much a layer matters.
PROBE = 16
BLOCK = 32


def int4(source, target, images, verbose=1, block=0):
    """Quantize dense weights to 4 bits, and to 8 where 4 cost most accuracy.

    Activations stay float32 in the file; the runtime quantizes them per token to 8
    bits while it multiplies. The float graph is first rewritten as for static_int8,
    without changing its answers: norm scales folded, the stream and the values of
    attention rotated. Then one layer after the other is rounded on what the layers
    before it, rounded already, really hand it, and its bias takes up what the mean of
    its output lost (Nagel et al. 2019, arXiv:1906.04721, section 4.2). This is done
    twice: the first time to see what 4 bits of each layer cost the answers, per byte
    (Dong et al. 2019, arXiv:1905.03696, has the idea; theirs: by the Hessian's
    spectrum, ours: measured).

    Args:
        source: float32 `.tflite` file with a batch of 1. target: file to write.
        images: (N, H, W, C) float32, as `read_calibration` gives them, or
            `TrainedIntegers`.
        verbose: 0 for no progress.
        block: weights that share a scale, 32, 64, 128 or 256; 0 for one scale per
            output channel.

    Raises:
        UnsupportedLayer: for a model without dense layers, or none that the blocks
            divide.
    """
    if isinstance(images, TrainedIntegers):
        return int4_trained(source, target, images)
    graph = TFLiteGraph(source)
    prepare(graph)
    rotate_values(graph)
    layers = find_layers(graph)
    for op in layers:
        if not is_dense(graph, op):
            dynamic_layer(graph, op)
    places = [graph.operators.index(op) for op in layers if is_dense(graph, op)]
    bits = {place: _least_bits(graph, place) for place in places}
    _check(graph, bits, block)
    if verbose:
        seconds = int4_seconds(graph, images, bits, block, PROBE)
        say(f"calibrating on {len(images)} images takes {about(seconds)}")
    trial = graph.copy()
    round_layers(trial, images, bits, block, verbose)
    few = evenly_spaced(images, PROBE)
    costs = sensitivity(graph, trial, bits, few, verbose)
    left = BUDGET * os.path.getsize(source) - len(trial.save()[0]) - MARGIN
    for place in choose(costs, {p: _size(graph, p) / 2 for p in costs}, left):
        bits[place] = 8
    round_layers(graph, images, bits, block, verbose)
    pathlib.Path(target).write_bytes(graph.save()[0])


int4_blockwise = functools.partial(int4, block=BLOCK)


def _least_bits(graph, place):
    """Fewest bits of a layer: 4, or 8 where its rows have an odd length."""
    columns = graph.value(graph.operators[place].inputs[1]).shape[1]
    return 8 if columns % 2 else 4


def _size(graph, place):
    return graph.value(graph.operators[place].inputs[1]).size


def _check(graph, bits, block):
    """Refuse a model whose weights 4 bits cannot store."""
    inputs = [graph.value(graph.operators[p].inputs[1]).shape[1] for p in bits]
    if 4 not in bits.values():
        raise UnsupportedLayer(
            "int4: needs dense layers with an even number of inputs, got inputs of "
            f"{inputs}. Use float16."
        )
    if block and not any(count % block == 0 for count in inputs):
        raise UnsupportedLayer(
            f"int4_blockwise: needs a dense layer with a multiple of {block} inputs, "
            f"got inputs of {inputs}. Use int4."
        )


def round_layers(graph, images, bits, block=0, verbose=1):
    """Round dense layers in the order of execution.

    Args:
        graph: float `TFLiteGraph`; its layers are changed in place.
        images: (N, H, W, C) float32.
        bits: {place in graph.operators: 4 or 8}.
        block: as in `int4`. verbose: 0 for no progress bar.
    """
    here, there = LayerwiseRunner(graph, images), LayerwiseRunner(graph.copy(), images)
    bar = Bar(len(bits), "layer", verbose)
    for place, count in bits.items():
        op = graph.operators[place]
        given = op.inputs[0]
        for walk in (here, there):
            walk.advance([given])
        _round(graph, op, here.values[given], there.values[given], count, block)
        bar.add(1)


def _round(graph, op, inputs, targets, bits, block):
    """Round one layer. inputs, targets: its input per image, rounded and in float."""
    weight = graph.value(op.inputs[1])
    block = block if bits == 4 and weight.shape[1] % (block or 1) == 0 else 0
    covariance, mean, rows = moments(inputs)
    ideal = sum(x.sum(axis=0, dtype="float64") for x in rows_of(targets)) / rows
    integers, scale = gptq(weight, covariance, rows, bits, block)
    rounded = integers * scales_per_column(scale, weight.shape[1])
    bias = bias_of(graph, op) + weight @ ideal - rounded @ mean
    graph.replace(op, 2, bias)
    store(graph, op, integers, scale, bits, block)


def moments(values):
    """Covariance (D, D), mean (D,) and number of rows over all images.

    Args:
        values: list of (..., D) float32.
    """
    squares = total = count = 0
    for x in rows_of(values):
        squares = squares + (x.T @ x).astype("float64")
        total, count = total + x.sum(axis=0, dtype="float64"), count + len(x)
    mean = total / count
    return squares / count - np.outer(mean, mean), mean, count


def sensitivity(graph, trial, bits, images, verbose=1):
    """Output error of each layer quantized alone to 4 bits.

    Args:
        graph: float `TFLiteGraph`. trial: the same with rounded layers.
        bits: {place: 4 or 8}. images: a few, (N, H, W, C).
        verbose: 0 for no progress bar.

    Returns:
        {place of a layer with 4 bits: noise power over signal power}.
    """
    walk, whole, costs = (
        LayerwiseRunner(graph, images),
        LayerwiseRunner(graph, images),
        {},
    )
    whole.advance(graph.outputs)
    bar = Bar(len(bits), "layer", verbose)
    for place, count in bits.items():
        walk.advance([graph.operators[place].inputs[0]])
        if count == 4:
            branch = walk.branch()
            _put(branch, place, trial)
            branch.advance(graph.outputs)
            costs[place] = sum(
                _noise(whole.values[number], branch.values[number])
                for number in graph.outputs
            )
        bar.add(1)
    return costs


def _put(walk, place, trial):
    """Assign a layer rounded weights of another graph; its mean output is kept."""
    graph, op = walk.graph, walk.graph.operators[place]
    tensor = trial.tensors[trial.operators[place].inputs[1]]
    scale = tensor.scale.reshape(len(tensor.data), -1)
    rounded = tensor.data * scales_per_column(scale, tensor.shape[1])
    mean = moments(walk.values[op.inputs[0]])[1]
    lost = (graph.value(op.inputs[1]) - rounded) @ mean
    graph.replace(op, 1, rounded)
    graph.replace(op, 2, bias_of(graph, op) + lost)


def _noise(expected, got):
    expected, got = np.concatenate(expected), np.concatenate(got)
    return float(((got - expected) ** 2).sum() / max((expected**2).sum(), 1e-30))


def choose(costs, sizes, left):
    """Choose the layers for 8 bits that gain most per byte, within the size budget.

    Args:
        costs: {layer: noise}. sizes: {layer: bytes more}. left: bytes.

    Returns:
        list of layers.

    >>> choose({"a": 4.0, "b": 3.0, "c": 1.0}, {"a": 9, "b": 2, "c": 2}, 5)
    ['b', 'c']
    """
    chosen = []
    for layer in sorted(costs, key=lambda layer: -costs[layer] / sizes[layer]):
        if sizes[layer] <= left:
            chosen.append(layer)
            left -= sizes[layer]
    return chosen
