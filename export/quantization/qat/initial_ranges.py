"""Initial weights and ranges of quantization-aware training, from calibration."""

import keras
import numpy as np
from keras import ops

from keras_vit.export.images.calibration_images import evenly_spaced
from keras_vit.export.quantization import prepare_model
from keras_vit.export.quantization.algorithms.gptq import gptq
from keras_vit.export.quantization.algorithms.int4 import BUDGET, PROBE, choose
from keras_vit.export.quantization.calibration.clipping import (
    Histogram,
    min_max,
    percentile,
)
from keras_vit.export.quantization.graph.dense_weights import quantize_weight
from keras_vit.export.quantization.qat.insertion_points import attentions
from keras_vit.export.quantization.rewrites.split_outliers import outliers

# What a file holds besides weights, biases and scales: operators, names, shapes.
FRAME_BYTES = 80_000
# How far from its integer a weight may start, in steps; at 0.5 it would be another.
EDGE = 0.45
# Images that pass at once, and the least end of a range.
BATCH, LEAST = 16, 1e-6


def rounded_to_4_bits(model, images):
    """Round a model to 4 bits, and to 8 where 4 cost most.

    Args:
        model: functional Keras model, norm scales folded. images: (N, H, W, C).

    Returns:
        a new model, steps of its dense layers, and their bits.
    """
    layers = prepare_model.dense_layers(model)
    bits = [4 if dense.kernel.shape[0] % 2 == 0 else 8 for dense in layers]
    coarse, _ = _rounded(model, bits, images)
    costs = _sensitivity(model, coarse, evenly_spaced(images, PROBE), bits)
    sizes = {place: layers[place].kernel.shape.num_elements() / 2 for place in costs}
    for place in choose(costs, sizes, _bytes_left(model, layers)):
        bits[place] = 8
    rounded, steps = _rounded(model, bits, images)
    for dense, old, step in zip(
        prepare_model.dense_layers(rounded), layers, steps, strict=True
    ):
        dense.kernel.assign(_within(dense.kernel, old.kernel, step))
    return rounded, steps, bits


def plain_steps(model):
    """8-bit scale per output of every dense layer, list of (out,)."""
    layers = prepare_model.dense_layers(model)
    return [quantize_weight(ops.convert_to_numpy(d.kernel).T)[1] for d in layers]


def observe(model, images):
    """Set a model's activation ranges for static_int8 or full_int8 by calibration.

    The whole range of inputs, the percentile of results, as in `collect_statistics`.

    Args:
        model: `QuantizationAware`, changed in place. images: (N, H, W, C).
    """
    given, results, scores, tops = _activation_histograms(model, images)
    for place, site in enumerate(model.sites):
        _assign(model.given[place], min_max(given[place]))
        whole = site.kind == "head" or site.second is not None
        span = (min_max if whole else percentile)(results[place])
        _assign(model.results[place], span)
    for ends, histogram in zip(model.scores, scores, strict=True):
        _assign(ends, min_max(histogram))
    for place, top in tops.items():
        units, bound = outliers(top)
        bounds = model.bounds[model.sites[place].first]
        values = ops.convert_to_numpy(bounds).copy()
        values[units] = bound
        bounds.assign(values)


def _activation_histograms(model, images):
    """Histograms of inputs, results and scores, and hidden units' maxima.

    Returns:
        A list per dense layer, another, one per attention with ranges, and place of
        the second dense layer of an MLP -> (hidden,) largest values.
    """
    sites, layers = model.sites, prepare_model.dense_layers(model.inner)
    places = {id(dense): place for place, dense in enumerate(layers)}
    input_histograms, results = [[Histogram() for _ in layers] for _ in range(2)]
    scores, tops = [Histogram() for _ in model.scores], {}
    blocks = {id(a): number for number, a in enumerate(attentions(model.inner))}

    def see(dense, inputs, outputs):
        place, values = places[id(dense)], ops.convert_to_numpy(outputs)
        factor = sites[place].factor
        results[place].add(values if factor is None else values * factor)
        input_histograms[place].add(ops.convert_to_numpy(inputs))
        if sites[place].first is not None:
            top = _rows(inputs).max(axis=0)
            tops[place] = np.maximum(top, tops.get(place, top))
        return outputs

    def attend(attention, query, key):
        values = ops.convert_to_numpy(attention.scores(query, key))
        scores[blocks[id(attention)]].add(values)
        return type(attention)._attend(attention, query, key)

    seen = attentions(model.inner) if model.scores else []
    with (
        prepare_model.observing_layers(layers, see),
        prepare_model.replacing_method(seen, attend, "_attend"),
    ):
        for start in range(0, len(images), BATCH):
            model.inner(images[start : start + BATCH], training=False)
    return input_histograms, results, scores, tops


def _assign(ends, span):
    """Store a range as logarithms; one that ends where its GELU's does has one."""
    if ends is not None:
        sizes = np.maximum([-span[0], span[1]], LEAST)
        ends.assign(np.log2(sizes[: ends.shape[0]]))


def _rounded(model, bits, images):
    """Copy a model with every dense layer rounded, in order; and the scales."""
    copy = prepare_model.copy_of(model)
    layers, wanted = prepare_model.dense_layers(copy), prepare_model.dense_layers(model)
    means, steps, places = {}, {}, {id(d): p for p, d in enumerate(layers)}

    def keep(dense, inputs, outputs):
        means[len(means)] = _rows(inputs).mean(axis=0)
        return outputs

    def compute(dense, inputs):
        rows, weight = _rows(inputs), ops.convert_to_numpy(dense.kernel).T
        mean, place = rows.mean(axis=0), places[id(dense)]
        covariance = rows.T @ rows / len(rows) - np.outer(mean, mean)
        integers, step = gptq(weight, covariance, len(rows), bits[place])
        rounded, steps[place] = integers * step, step[:, 0]
        dense.kernel.assign(rounded.T)
        if dense.bias is not None:
            bias = ops.convert_to_numpy(dense.bias)
            dense.bias.assign(bias + weight @ means[len(steps) - 1] - rounded @ mean)
        return type(dense).call(dense, inputs)

    with prepare_model.observing_layers(wanted, keep):
        model(images, training=False)
    with prepare_model.replacing_method(layers, compute):
        copy(images, training=False)
    return copy, [steps[place] for place in range(len(layers))]


def _within(rounded, kernel, step):
    """The weight closest to the original that rounds to the same integers."""
    rounded, kernel = (ops.convert_to_numpy(x) for x in (rounded, kernel))
    return rounded + np.clip(kernel - rounded, -EDGE * step, EDGE * step)


def _sensitivity(model, coarse, images, bits):
    """{place: noise power over signal power} of 4 bits in one layer alone."""
    expected = [ops.convert_to_numpy(y) for y in keras.tree.flatten(model(images))]
    trial, costs = prepare_model.copy_of(model), {}
    layers, rounded = (
        prepare_model.dense_layers(trial),
        prepare_model.dense_layers(coarse),
    )
    for place, (dense, other) in enumerate(zip(layers, rounded, strict=True)):
        if bits[place] != 4:
            continue
        kernel = ops.convert_to_numpy(dense.kernel)
        dense.kernel.assign(other.kernel)
        got = [ops.convert_to_numpy(y) for y in keras.tree.flatten(trial(images))]
        dense.kernel.assign(kernel)
        costs[place] = sum(
            float(((y - z) ** 2).sum() / max((z**2).sum(), 1e-30))
            for y, z in zip(got, expected, strict=True)
        )
    return costs


def _bytes_left(model, layers):
    """Bytes of the size budget that 4 bits in all dense layers leave."""
    kernels = sum(dense.kernel.shape.num_elements() for dense in layers)
    steps, total = sum(dense.units for dense in layers), model.count_params()
    least = kernels / 2 + 4 * (total - kernels + steps) + FRAME_BYTES
    return BUDGET * 4 * total - least


def _rows(inputs):
    values = ops.convert_to_numpy(inputs)
    return values.reshape(-1, values.shape[-1])
