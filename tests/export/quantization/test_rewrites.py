"""Rewrites of the float graph change no answer; integers stand where they should."""

import collections

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.algorithms import prepare_graph, static_int8
from keras_vit.export.quantization.graph import dense_weights
from keras_vit.export.quantization.graph.find_norms import bias_of, find_norms
from keras_vit.export.quantization.graph.graph import INT8, TFLiteGraph, TFLiteTensor
from keras_vit.export.quantization.rewrites import (
    fold_constants,
    rotate_residual,
    split_outliers,
)
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import open_file

EXACT_DB = 110  # rounding of float32 in another order: 120 to 140 dB
VARIANTS = {
    "gap": {"pooling": "gap", "norm_pooled": True, "representation_size": 12},
    "tokens": {"include_top": False, "pooling": None, "position": "sincos2d"},
    "distilled": {"distilled": True, "classifier_activation": "softmax"},
    "registers": {"registers": 2, "layer_scale": 0.1},
    "hybrid": {"stem": (1, 1), "patch_size": 1, "image_size": (40, 32)},
    "tanh": {"activation": "gelu_tanh", "norm_input": True},
}


@pytest.fixture
def graph(exported):
    """A fresh graph of the shared float32 file."""
    return TFLiteGraph(exported["tflite"].path)


def run(graph, images):
    """The first output of a graph, image by image, in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=graph.save()[0])
    runner = interpreter.get_signature_runner("serving_default")
    answers = (next(iter(runner(image=i[None]).values())) for i in images)
    return np.concatenate(list(answers))


def decibel(expected, got):
    """Signal-to-noise ratio in dB."""
    tally = Tally()
    tally.add(expected, got)
    return tally.decibel


def spike(graph, block=0, unit=3, size=80.0):
    """Give one hidden unit a bias that dwarfs all others, as trained models have."""
    first = split_outliers.find_mlps(graph)[block].first
    bias = bias_of(graph, first).copy()
    bias[unit] = size
    graph.replace(first, 2, bias)
    return graph


def turn(graph):
    """Centre and rotate the one stream, once its norms have no scale."""
    fold_constants.fold_norm_scale(graph)
    (stream,) = rotate_residual.find_streams(graph)
    rotate_residual.centre(graph, stream)
    return rotate_residual.rotate(graph, stream, rotate_residual.hadamard(stream.width))


def test_a_file_survives_reading_and_writing(graph, exported, photos):
    """Same answers to the last bit, same names, a smaller file."""
    expected = open_file(exported["tflite"])(photos[:4])[0]

    np.testing.assert_array_equal(expected, run(graph, photos[:4]))
    assert len(graph.save()[0]) < exported["tflite"].size_bytes


REWRITES = {
    "query scale": (fold_constants.fold_query_scale, 2, "MUL", 2),
    "norm scale": (fold_constants.fold_norm_scale, 1, "MUL", 1),
    "stream": (turn, True, "SUB", 5),
}


@pytest.mark.parametrize("name", REWRITES)
def test_rewrites_are_exact(name, graph, photos):
    """Each one takes operators away and leaves the answers."""
    rewrite, result, operator, gone = REWRITES[name]
    expected = run(graph, photos[:8])
    before = sum(op.name == operator for op in graph.operators)

    assert result == rewrite(graph)

    assert gone == before - sum(op.name == operator for op in graph.ordered())
    assert decibel(expected, run(graph, photos[:8])) > EXACT_DB


def test_constants_are_added_at_export(graph, photos):
    """A position that is the sum of two constants becomes one."""
    expected = run(graph, photos[:2])
    add = next(op for op in graph.operators if op.name == "ADD")
    half = graph.constant(graph.value(add.inputs[1]) / 2)
    add.inputs[1] = graph.add("ADD", [half, half], graph.like(half))

    assert 1 == fold_constants.fold_constants(graph)
    assert decibel(expected, run(graph, photos[:2])) > EXACT_DB


def test_the_overflow_split_is_exact_for_any_image(graph, photos):
    """Also for images far beyond those that the bound was found on."""
    spike(graph)
    wild = photos[:8] * 4
    expected = run(graph, wild)
    mlp = split_outliers.find_mlps(graph)[0]
    tops = np.full(32, 1.0)
    tops[3] = 80.0

    units, branch = split_outliers.split_overflow(graph, mlp, tops)

    assert ([3], 2) == (units, len(branch))
    assert decibel(expected, run(graph, wild)) > EXACT_DB
    low = next(op for op in graph.operators if op.name == "MINIMUM")
    bounds = graph.value(low.inputs[1])
    assert [3] == np.flatnonzero(bounds < 1e30).tolist() and 6.0 == bounds[3]


def test_nothing_is_split_without_an_outlier(graph):
    """Units of one size stay together."""
    mlp = split_outliers.find_mlps(graph)[0]

    assert ([], []) == split_outliers.split_overflow(graph, mlp, np.full(32, 9.0))


def test_a_stream_that_others_read_is_left_alone(graph):
    """Centring would show in an output, or in a layer without a norm."""
    seen = TFLiteGraph.__new__(TFLiteGraph)
    seen.__dict__.update(graph.__dict__)
    seen.outputs = [*graph.outputs, find_norms(graph)[2].x]
    assert [] == rotate_residual.find_streams(seen)

    (stream,) = rotate_residual.find_streams(graph)
    x = stream.norms[1].x
    graph.add("TANH", [x], graph.like(x))
    assert [] == rotate_residual.find_streams(graph)


@pytest.mark.parametrize("width", [1, 7, 16, 12])
def test_hadamard_is_orthogonal(width):
    """Any width, and every channel is spread when it is a power of two."""
    matrix = rotate_residual.hadamard(width)

    np.testing.assert_allclose(np.eye(width), matrix @ matrix.T, atol=1e-12)
    if width == 16:
        np.testing.assert_allclose(0.25, np.abs(matrix), atol=1e-12)


def test_ranges_hold_zero_and_both_ends():
    """Zero has a code of its own: padding and ReLU need it."""
    for low, high in ((-1, 3), (0.5, 2), (-3, -1), (0, 0)):
        scale, zero = dense_weights.scale_and_zero(low, high)
        codes = np.round(np.array([min(low, 0), max(high, 0)]) / scale) + zero
        assert codes.min() >= -128 - 1e-9 and codes.max() <= 127 + 1
        assert -128 <= zero <= 127


def test_weights_are_rounded_per_channel():
    """Half a step at most, whatever the other channels hold; zeros stay."""
    weight = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    weight[1] *= 1000
    weight[2] = 0

    integers, scale = dense_weights.quantize_weight(weight)

    assert ("int8", (4, 2, 3)) == (str(integers.dtype), integers.shape)
    error = np.abs(integers * scale[:, None, None] - weight).max(axis=(1, 2))
    assert (error <= 0.501 * scale).all() and 0 == error[2]


def test_what_is_integer_in_a_static_file(exported, photos, tmp_path):
    """All dense layers and GELUs; the head's input stays float."""
    path = tmp_path / "m.tflite"
    static_int8.static_int8(exported["tflite"].path, path, photos[:32], verbose=0)
    graph = TFLiteGraph(path)

    kinds = collections.Counter(
        (op.name, graph.tensors[op.inputs[0]].type == INT8)
        for op in graph.operators
        if op.name in ("FULLY_CONNECTED", "GELU", "MINIMUM")
    )
    expected = {("FULLY_CONNECTED", True): 9, ("FULLY_CONNECTED", False): 1}
    assert {**expected, ("GELU", True): 2} == kinds


def test_the_split_saves_a_model_with_an_outlier(graph, photos, tmp_path, monkeypatch):
    """One wild unit costs many dB, and the split brings them back."""
    source = tmp_path / "spiked.tflite"
    source.write_bytes(spike(graph, size=2000.0).save()[0])
    expected, found = run(graph, photos), {}
    for name in ("split", "plain"):
        path = tmp_path / f"{name}.tflite"
        static_int8.static_int8(source, path, photos[:32], verbose=0)
        found[name] = decibel(expected, run(TFLiteGraph(path), photos))
        monkeypatch.setattr(static_int8, "split_all", lambda *_: [])

    assert found["split"] > found["plain"] + 6


def test_several_graphs_are_refused(exported, tmp_path, monkeypatch):
    """Control flow has graphs of its own."""
    from ai_edge_litert import schema_py_generated as schema

    model = TFLiteGraph(exported["tflite"].path).model
    model.subgraphs = model.subgraphs * 2
    monkeypatch.setattr(schema.ModelT, "InitFromPackedBuf", lambda *_: model)

    with pytest.raises(UnsupportedLayer, match="one graph.*got 2.*dynamic_int8"):
        TFLiteGraph(exported["tflite"].path)


def test_a_circle_is_noticed(graph):
    """A rewrite that lets an operator wait for itself does not write a file."""
    first = graph.append(TFLiteTensor("a", (1, 5)))
    graph.add("TANH", [graph.add("TANH", [first], graph.like(first))], first)
    graph.outputs = [first]

    with pytest.raises(RuntimeError, match="TANH depends on its own output"):
        graph.save()


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_option(name, tiny, tmp_path):
    """Whatever the architecture: rewrites are exact, and the integer file passes."""
    model = tiny(**VARIANTS[name])
    shape = (32, *model.input_shape[1:])
    photos = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    plain = export.to_tflite(model, tmp_path / "m.tflite", verbose=0)
    graph = TFLiteGraph(plain.path)
    expected = run(graph, photos[:4])

    prepare_graph.prepare(graph)
    small = export.to_tflite(
        model, tmp_path / "q.tflite", "static_int8", calibration=photos, verbose=0
    )

    assert decibel(expected, run(graph, photos[:4])) > EXACT_DB
    assert small.signal_to_noise_db > 20
