"""4-bit weights: what rounding minimises, what stands in the file, what is refused."""

import dataclasses

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.io.io_spec import check_images, contract_of
from keras_vit.export.quantization.algorithms import gptq, int4
from keras_vit.export.quantization.calibration.layerwise import LayerwiseRunner
from keras_vit.export.quantization.graph import int4_packing, packing
from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import INT4, INT8, TFLiteGraph
from keras_vit.export.quantization.rewrites import fold_constants, rotate_values
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import open_file


@pytest.fixture
def graph(exported):
    """A fresh graph of the shared float32 file."""
    return TFLiteGraph(exported["tflite"].path)


@pytest.fixture(scope="module")
def file4(exported, photos, tmp_path_factory):
    """The shared file in 4 bits."""
    path = tmp_path_factory.mktemp("int4") / "m.tflite"
    int4.int4(exported["tflite"].path, path, photos, verbose=0)
    return path


def run(graph, images):
    """The first output of a graph, image by image."""
    walk = LayerwiseRunner(graph, images)
    walk.advance(graph.outputs)
    return np.concatenate(walk.values[graph.outputs[0]])


def decibel(expected, got):
    """Signal-to-noise ratio in dB."""
    tally = Tally()
    tally.add(expected, got)
    return tally.decibel


def inputs_of_a_layer(rows=2000, columns=64, seed=0):
    """Correlated inputs, some channels louder, and a weight (48, columns)."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(columns, columns)) * np.geomspace(1, 0.05, columns)
    x = rng.normal(size=(rows, columns)) @ mixing.T
    return x.astype("float32"), rng.normal(size=(48, columns)).astype("float32")


def output_error(x, weight, integers, scale):
    """Noise over signal at the output of a layer."""
    rounded = integers * gptq.scales_per_column(scale, weight.shape[1])
    return ((x @ (weight - rounded).T) ** 2).sum() / ((x @ weight.T) ** 2).sum()


def test_rounding_sees_the_data():
    """On inputs it has not seen, half the error of rounding to the nearest, or less."""
    x, weight = inputs_of_a_layer()
    covariance = x[:1000].T @ x[:1000] / 1000
    scale = gptq.plain_scale(weight, np.ones(64), 4)
    nearest = np.clip(np.rint(weight / scale), -8, 7)

    integers, scales = gptq.gptq(weight, covariance, 1000)

    assert ("int8", (48, 1)) == (str(integers.dtype), scales.shape)
    assert (-8, 7) == (integers.min(), integers.max())
    ours = output_error(x[1000:], weight, integers, scales)
    assert ours < 0.5 * output_error(x[1000:], weight, nearest, scale)


def test_blocks_and_8_bits_are_finer():
    """A scale per 32 weights is better than one, and 8 bits are far better."""
    x, weight = inputs_of_a_layer()
    covariance = x.T @ x / len(x)
    errors = {}
    for bits, block in ((4, 0), (4, 32), (8, 0)):
        integers, scale = gptq.gptq(weight, covariance, len(x), bits, block)
        errors[bits, block] = output_error(x, weight, integers, scale)
        assert (48, 64 // (block or 64)) == scale.shape
        np.testing.assert_array_equal(scale, gptq.representable(scale, block))

    assert errors[4, 0] > errors[4, 32] > 30 * errors[8, 0]


def test_few_rows_are_not_trusted():
    """With fewer rows than columns, unseen inputs do not pay for the seen ones."""
    _, weight = inputs_of_a_layer()
    x = np.random.default_rng(1).normal(size=(1000, 64)).astype("float32")
    seen, unseen = x[:40], x[40:]
    covariance = seen.T @ seen / 40

    careful = output_error(unseen, weight, *gptq.gptq(weight, covariance, 40))
    trusting = output_error(unseen, weight, *gptq.gptq(weight, covariance, 10**6))

    assert careful < trusting


def test_a_channel_of_zeros_stays_zero():
    """No scale of 0, no NaN."""
    x, weight = inputs_of_a_layer()
    weight[3] = 0
    for block in (0, 32):
        integers, scale = gptq.gptq(weight, x.T @ x, len(x), 4, block)
        assert not integers[3].any() and (scale > 0).all()


@pytest.mark.parametrize("shape", [(3, 5), (4, 4)])
def test_nibbles_come_back(shape):
    """All 16 codes, also in an odd number."""
    integers = (np.arange(np.prod(shape)) % 16 - 8).astype("int8").reshape(shape)

    packed = int4_packing.pack(integers)

    assert -(-integers.size // 2) == len(packed)
    np.testing.assert_array_equal(
        integers, int4_packing.unpack(packed.tobytes(), shape)
    )


def test_equal_vectors_are_written_once():
    """Two vectors of the same zeros share their bytes."""
    builder = packing.sharing_builder()(1024)
    zeros = np.zeros(9, "int64")

    first = builder.CreateNumpyVector(zeros)

    assert first == builder.CreateNumpyVector(zeros.copy())
    assert first != builder.CreateNumpyVector(np.zeros(9, "int32"))


def test_a_walk_gives_what_the_whole_graph_gives(graph, exported, photos):
    """In pieces, layer by layer, each operator once; what is used up is dropped."""
    expected = open_file(exported["tflite"])(photos[:3])[0]
    walk, count = LayerwiseRunner(graph, photos[:3]), len(graph.ordered())
    for op in graph.ordered():
        if is_dense(graph, op):
            walk.advance([op.inputs[0]])
            assert len(walk.left) < count
            assert len(walk.values) <= 4
            count = len(walk.left)
    branch = walk.branch()
    walk.advance(graph.outputs)

    assert [] == walk.left and branch.left
    got = np.concatenate(walk.values[graph.outputs[0]])
    np.testing.assert_allclose(expected, got, atol=1e-5)


def test_turned_values_are_exact(graph, photos):
    """Both attentions are found, and the answers stay."""
    expected = run(graph, photos[:4])
    fold_constants.fold_query_scale(graph)
    before = [graph.value(v.proj.inputs[1]) for v in rotate_values.find_values(graph)]

    assert 2 == rotate_values.rotate_values(graph)

    after = [graph.value(v.proj.inputs[1]) for v in rotate_values.find_values(graph)]
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(before, after, strict=True))
    assert decibel(expected, run(graph, photos[:4])) > 110


def test_what_stands_in_the_file(file4, exported, photos):
    """Every dense layer in 4 or 8 bits, and a file that runs."""
    graph = TFLiteGraph(file4)
    kinds = [
        graph.tensors[op.inputs[1]].type
        for op in graph.operators
        if op.name == "FULLY_CONNECTED"
    ]

    assert 10 == len(kinds) and {INT4} <= set(kinds) <= {INT4, INT8}
    assert "int4" == open_file(file4).precision
    expected = open_file(exported["tflite"])(photos)[0]
    got = open_file(file4)(photos)[0]
    assert decibel(expected, got) > 10


def test_8_bits_go_where_they_gain_most(exported, photos, tmp_path, monkeypatch):
    """A larger budget is spent, kept, and makes the answers better."""
    source = exported["tflite"].path
    expected = open_file(exported["tflite"])(photos)[0]
    noise = {}
    for budget in (0.0, 0.5, 9.0):
        path = tmp_path / f"{budget}.tflite"
        monkeypatch.setattr(int4, "BUDGET", budget)
        int4.int4(source, path, photos, verbose=0)
        noise[budget] = decibel(expected, open_file(path)(photos)[0])
        wide = [t for t in TFLiteGraph(path).tensors if t.type == INT8]
        assert {0.0: 0, 9.0: 10}.get(budget, len(wide)) == len(wide)
        if budget == 0.5:
            assert path.stat().st_size <= budget * source.stat().st_size

    assert noise[9.0] > noise[0.0] + 6


def test_through_the_front_door(model, photos, converted, tmp_path, capsys):
    """to_tflite writes 4 bits, proves them, and says what it does."""
    result = export.to_tflite(model, tmp_path / "m.tflite", "int4", calibration=photos)

    assert "int4" == result.quantization == open_file(result).precision
    assert result.signal_to_noise_db > 10
    assert "calibrating on 40 images takes a few seconds" in capsys.readouterr().out
    assert [result.path] == list(tmp_path.iterdir())


def test_blocks_run(model, photos, converted, tmp_path):
    """Scales of blocks, in the layers that blocks divide."""
    result = export.to_tflite(
        model, tmp_path / "m.tflite", "int4_blockwise", calibration=photos, verbose=0
    )

    assert result.signal_to_noise_db > 10
    raw = TFLiteGraph(result.path).model.subgraphs[0].tensors
    found = [t.quantization.details for t in raw if t.quantization is not None]
    assert 32 in [getattr(details, "blockSize", 0) for details in found]


def test_blocks_that_divide_nothing(exported, photos, tmp_path):
    """The layers' inputs are said, and what to use."""
    with pytest.raises(UnsupportedLayer, match="int4_blockwise: .*256 .*Use int4"):
        int4.int4(exported["tflite"].path, tmp_path / "m", photos, 0, block=256)


def test_a_model_without_dense_layers(photos, tmp_path):
    """There is nothing to store in 4 bits."""
    import keras

    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Conv2D(4, 8, 8)(inputs)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)

    with pytest.raises(UnsupportedLayer, match=r"int4: needs dense.*\[\]. Use float16"):
        export.to_tflite(
            keras.Model(inputs, outputs),
            tmp_path / "m.tflite",
            "int4",
            calibration=photos,
            verbose=0,
        )


def test_ctrl_c_leaves_nothing(model, photos, converted, tmp_path, monkeypatch):
    """Interrupted while rounding, the float file on the way goes, too."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(int4, "gptq", interrupt)

    with pytest.raises(KeyboardInterrupt):
        export.to_tflite(
            model, tmp_path / "m.tflite", "int4", calibration=photos, verbose=0
        )
    assert [] == list(tmp_path.iterdir())


VARIANTS = {
    "gap": {"pooling": "gap", "norm_pooled": True, "representation_size": 12},
    "tokens": {"include_top": False, "pooling": None, "position": "sincos2d"},
    "distilled": {"distilled": True, "classifier_activation": "softmax"},
    "hybrid": {"stem": (1, 1), "patch_size": 1, "image_size": (40, 32)},
    "odd": {"representation_size": 7, "qk_norm": True, "position": "relative"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_option(name, tiny, tmp_path):
    """Whatever the architecture, the file passes its proof."""
    model = tiny(**VARIANTS[name])
    contract = contract_of(model, dynamic_batch=False)
    photos = check_images(contract, count=32)

    small = export.to_tflite(
        model, tmp_path / "q.tflite", "int4", calibration=photos, verbose=0
    )

    assert small.signal_to_noise_db > 10
    assert dataclasses.replace(contract.image) == small.inputs[0]
