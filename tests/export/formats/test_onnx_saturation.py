"""8-bit ONNX weights: no processor saturates when it adds two products in 16 bits."""

import numpy as np
import pytest
from onnx import helper

from keras_vit.export.formats.onnx import quantize
from keras_vit.export.formats.onnx.graph import OnnxGraph
from keras_vit.export.formats.onnx.saturation import largest_values, saturating_weights


@pytest.mark.parametrize("dense", [True, False])
def test_no_pair_of_a_rounded_weight_saturates(dense):
    """Whatever the weights, 255 times a pair of them stays within 16 bits."""
    rng = np.random.default_rng(0)
    weights = rng.standard_t(2, (64, 30) if dense else (64, 5, 3, 2))
    weights[0], weights[1] = 1.0, -1.0  # the worst: all of one sign

    integers, scales = quantize.int8_weight(weights, dense)

    flat = integers.reshape(64, -1).astype(int)
    order = range(0, 30, 2) if dense else [0]
    rows = flat if dense else np.sort(flat, axis=1)
    pairs = [rows[:, k : k + 2].sum(axis=1) * 255 for k in order]
    pairs += [] if dense else [rows[:, -2:].sum(axis=1) * 255]
    assert -(2**15) <= np.min(pairs) and np.max(pairs) < 2**15
    np.testing.assert_allclose(
        integers * scales.reshape(-1, *[1] * (weights.ndim - 1)),
        weights,
        atol=scales.max() * 0.51,
    )


def test_a_lone_weight_keeps_its_range():
    """Where neighbours have opposite signs, all 127 steps are used."""
    rows = np.array([[4.0, -4.0, 0.0, 3.0, 1.0]])

    np.testing.assert_array_equal([4.0], largest_values(rows, dense=True))
    np.testing.assert_array_equal([7.0], largest_values(rows, dense=False))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_pair_of_another_tool_is_found(transposed):
    """The weight is named, in both orders of its axes; neighbours in k are a pair."""
    weight = np.zeros((4, 2), "int8")
    weight[2:, 1] = 65
    graph = OnnxGraph(20)
    graph.array(weight.T if transposed else weight, "w", "int8")
    graph.array([1.0, 1.0], "s")
    graph.nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["wide"], axis=1),
        helper.make_node("Gemm", ["x", "wide"], ["y"], transB=int(transposed)),
    ]

    assert ["w"] == saturating_weights(graph)
    graph.constants["w"] = np.roll(graph.constants["w"], 1, axis=int(transposed))
    assert [] == saturating_weights(graph)
