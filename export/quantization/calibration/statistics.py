"""Calibration statistics of every tensor that a graph computes."""

import dataclasses
import math

import numpy as np

from keras_vit.export.quantization.calibration.clipping import (
    DEFAULT,
    METHODS,
    Histogram,
)
from keras_vit.export.quantization.calibration.observer import watch, whole_range
from keras_vit.export.quantization.calibration.saved_ranges import Ranges
from keras_vit.export.quantization.graph.unit_norms import find_unit_norms


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Activation ranges and token energies of a graph on calibration images.

    Args:
        limits: {tensor: (low, high)}, all that occurred.
        narrow: {tensor: (low, high)} that 8 bits are spent on.
        energies: {tensor: (largest, cut or None)} mean squares of tokens, at the
            variance of each norm; see `energy_gap`.
    """

    limits: dict
    narrow: dict
    energies: dict


def collect_statistics(graph, images, verbose=1, method=DEFAULT, wanted=None):
    """Run calibration images through a graph and collect its activation ranges.

    Args:
        graph: prepared float `TFLiteGraph`.
        images: (N, H, W, C) float32, or the `Ranges`
            of such, which were made by a method of their own.
        verbose: 0 for no progress bar. method: one of `ranges.METHODS`, for `narrow`.
        wanted: numbers of tensors, when not all of them, and no energies.

    Returns:
        `Statistics`.
    """
    if wanted is not None:
        return _see(graph, images, set(wanted), {}, verbose, method)
    norms = find_unit_norms(graph)
    inner = {op.outputs[0] for norm in norms for op in norm.inner}
    inner -= {norm.rsqrt for norm in norms}
    wanted = {number for op in graph.ordered() for number in op.outputs} - inner
    wanted.add(graph.inputs[0])
    energies = {norm.variance: [] for norm in norms}
    return _see(graph, images, wanted, energies, verbose, method)


def _see(graph, images, wanted, energies, verbose, method):
    """Collect statistics as `collect_statistics`; energies: {number: []}."""
    if isinstance(images, Ranges):
        spans = images.of(graph, wanted)
        limits = {number: whole_range(spans, number) for number in wanted}
        return Statistics(limits, images.narrow, images.energies)
    histograms = {n: Histogram() for n in results(graph) if n in wanted}
    limits = {}

    def see(number, value):
        if number in energies:
            energies[number].append(value.reshape(-1).copy())
            return
        low, high = limits.get(number, (np.inf, -np.inf))
        limits[number] = min(low, float(value.min())), max(high, float(value.max()))
        if number in histograms:
            histograms[number].add(value)

    watch(graph, images, sorted(wanted | set(energies)), see, verbose)
    for number, rows in energies.items():
        rows = np.concatenate(rows)
        energies[number] = float(rows.max()), energy_gap(rows)
    found = {number: METHODS[method](h) for number, h in histograms.items()}
    return Statistics(limits, {**limits, **found}, energies)


def results(graph):
    """Outputs of dense layers, without graph outputs and inputs of a GELU.

    They are what cutting off helps. It costs where a top score would be cut off, and
    gains nothing where a GELU's range, which has a floor, is cut already.

    Args:
        graph: float `TFLiteGraph`.

    Returns:
        list of numbers.
    """
    dense = [op.outputs[0] for op in graph.ordered() if op.name == "FULLY_CONNECTED"]
    read = {op.inputs[0] for op in graph.operators if op.name == "GELU"}
    return [number for number in dense if number not in {*graph.outputs, *read}]


# Ratio of energies that separates massive tokens from ordinary ones.
LEAST_GAP = 8.0


def energy_gap(energies):
    """The energy that separates ordinary tokens from massive ones.

    The middle (geometric) of the widest gap above the median, if the largest energy is
    at least LEAST_GAP times the one below the gap.

    Args:
        energies: squared lengths of tokens, (N,).

    Returns:
        The cut, or None.

    >>> energy_gap([1.0, 1.0, 2.0, 200.0])
    20.0
    """
    order = np.sort(energies)
    order = order[order >= np.median(order)]
    ratios = order[1:] / np.maximum(order[:-1], 1e-30)
    if not len(ratios):
        return None
    place = int(np.argmax(ratios))
    if order[-1] / max(order[place], 1e-30) < LEAST_GAP:
        return None
    return float(math.sqrt(order[place] * order[place + 1]))
