"""Files without floats: what stands in them, how close they come, what is refused."""

import math
from unittest import mock

import numpy as np
import pytest

from keras_vit import Preprocessing, export
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.apps import snippets
from keras_vit.export.inspection import delegates, tflite
from keras_vit.export.io import io_spec
from keras_vit.export.quantization.algorithms import (
    full_int8,
    static_int8,
)
from keras_vit.export.quantization.calibration import statistics
from keras_vit.export.quantization.graph.find_norms import is_dense
from keras_vit.export.quantization.graph.graph import (
    FLOAT32,
    INT8,
    INT16,
    UINT8,
    TFLiteGraph,
)
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import open_file

# Rounding to 8 bits in width 16 costs this much, and rarely a choice.
LEAST_DB = {"full_int8": 25, "int16x8": 32}
VARIANTS = {
    "gap": {"pooling": "gap", "norm_pooled": True, "representation_size": 12},
    "map": {"pooling": "map"},
    "tokens": {"include_top": False, "pooling": None, "position": "sincos2d"},
    "distilled": {"distilled": True, "classifier_activation": "softmax"},
    "registers": {"registers": 2, "layer_scale": 0.1},
    "tanh": {"activation": "gelu_tanh", "norm_input": True},
    "query norm": {"qk_norm": True, "qkv_bias": False},
    "relative": {"position": "relative"},
    "sigmoid": {"classifier_activation": "sigmoid", "patch_bias": False},
    "imagenet": {"preprocessing": Preprocessing((32, 32), mode="imagenet")},
}


@pytest.fixture(scope="module")
def written(exported, photos, tmp_path_factory):
    """Recipe -> path, written from the shared float32 file."""
    folder, made = tmp_path_factory.mktemp("integer"), {}
    for recipe in (full_int8.full_int8, full_int8.int16x8):
        path = made[recipe.__name__] = folder / f"{recipe.__name__}.tflite"
        recipe(exported["tflite"].path, path, photos[:32], verbose=0, mode="google")
    return made


def decibel(expected, got):
    """Signal-to-noise ratio in dB."""
    tally = Tally()
    tally.add(expected, got)
    return tally.decibel


def floats(path):
    """Names of all float32 tensors in a file."""
    graph = TFLiteGraph(path)
    return {tensor.name for tensor in graph.tensors if tensor.type == FLOAT32}


@pytest.mark.parametrize("recipe", LEAST_DB)
def test_an_integer_file_through_the_front_door(
    recipe, model, exported, photos, converted, tmp_path
):
    """It answers as the model does, and `verify` feeds it floats."""
    path = tmp_path / "m.tflite"
    result = export.to_tflite(
        model, path, quantization=recipe, calibration=photos, verbose=0
    )
    report = export.verify(model, path, photos, verbose=0)

    assert (recipe, "int8") == (result.quantization, report.precision)
    assert report.passed and report.agreement > 90
    assert report.signal_to_noise_db > LEAST_DB[recipe]
    assert [path] == list(tmp_path.iterdir())


def test_no_float_stands_in_a_full_int8_file(written):
    """uint8 image, int8 logits, and no float32 tensor anywhere between."""
    graph, runtime = TFLiteGraph(written["full_int8"]), open_file(written["full_int8"])

    assert set() == floats(written["full_int8"])
    assert UINT8 == graph.tensors[graph.inputs[0]].type
    assert INT8 == graph.tensors[graph.outputs[0]].type
    assert ["image uint8 (1, 32, 32, 3)"] == list(map(str, runtime.inputs))
    assert ["logits int8 (1, 5)"] == list(map(str, runtime.outputs))
    assert "QUANTIZE" in runtime.operators and "DEQUANTIZE" not in runtime.operators


def test_no_float_stands_in_an_int16x8_file(written):
    """int16 image and logits, and no float32 tensor anywhere between."""
    graph, runtime = TFLiteGraph(written["int16x8"]), open_file(written["int16x8"])

    assert set() == floats(written["int16x8"])
    ends = (*graph.inputs, *graph.outputs)
    assert {INT16} == {graph.tensors[number].type for number in ends}
    assert ["logits int16 (1, 5)"] == list(map(str, runtime.outputs))
    assert "DEQUANTIZE" not in runtime.operators


@pytest.mark.parametrize("target", ["microcontroller", "npu"])
def test_every_operator_of_full_int8_is_taken(target, written):
    """By tflite-micro and by Ethos-U65, as their own lists and constraints say."""
    found = delegates.refusals(tflite.read(written["full_int8"]), target)

    assert (1.0, []) == (found["operators"], found["refused"])


def test_steps_of_16_bits_leave_no_room_for_rounding(written):
    """Powers of two, and sums whose step is one times that of what they sum."""
    graph = TFLiteGraph(written["full_int8"])
    steps = {t.name: float(t.scale[0]) for t in graph.tensors if t.type == INT16}

    odd = [name for name, step in steps.items() if math.frexp(step)[0] != 0.5]
    assert {name.split("/")[-1] for name in odd} <= {"energy"}
    for op in graph.operators:
        given, *more = (graph.tensors[number] for number in op.inputs if number >= 0)
        if op.name == "FULLY_CONNECTED" and given.type == INT16:
            (made,) = graph.tensors[op.outputs[0]].scale
            ratios = np.float64(given.scale[0]) * more[0].scale / made
            mantissa, _ = np.frexp(ratios)
            np.testing.assert_array_equal(mantissa * 2**15 % 1, 0.0)


def test_the_table_of_roots_is_made_finer(written, photos):
    """Norms of full_int8 give tokens of unit length, within half a percent."""
    graph = TFLiteGraph(written["full_int8"])
    product = next(
        op
        for op in graph.operators
        if op.name == "MUL" and graph.tensors[op.inputs[1]].name == "inverse"
    )
    kept, root = product.inputs[0], product.inputs[1]
    path = written["full_int8"].with_name("opened.tflite")
    content, numbers = graph.save(also=(kept, root))
    path.write_bytes(content)

    x, inverse = watched(path, photos[:1], [numbers[kept], numbers[root]])

    length = np.sqrt((x**2).mean(axis=-1))
    np.testing.assert_allclose(1.0, length * inverse[..., 0], rtol=5e-3)


def watched(path, images, numbers):
    """Values of integer tensors that a file gives besides its answers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    scale, zero = image["quantization"]
    codes = np.clip(np.round(images / scale + zero), 0, 255).astype("uint8")
    interpreter.set_tensor(image["index"], codes)
    interpreter.invoke()
    scales = {
        d["index"]: d["quantization"][0] for d in interpreter.get_tensor_details()
    }
    return [interpreter.get_tensor(n) * np.float32(scales[n]) for n in numbers]


def test_the_page_tells_how_to_feed_it(written, images, monkeypatch):
    """The code for an integer file turns values into codes, and codes into values."""
    runtime = open_file(written["full_int8"])
    monkeypatch.chdir(runtime.path.parent)
    space = {"np": np, "image": images[:1]}

    exec(snippets.run_file(runtime, "logits"), space)

    np.testing.assert_allclose(runtime(images[:1])[0], space["answer"], rtol=1e-6)


def test_a_nearly_empty_channel_keeps_its_bias(exported, photos, tmp_path):
    """Weights of 1e-12 would give a bias more steps than an int32 can count."""
    for recipe in (static_int8.static_int8, full_int8.full_int8):
        graph = TFLiteGraph(exported["tflite"].path)
        dense = [op for op in graph.operators if is_dense(graph, op)][2]  # projection
        weight, bias = graph.value(dense.inputs[1]).copy(), np.zeros(16)
        weight[5], bias[5] = 1e-12, 3.0
        graph.replace(dense, 1, weight)
        graph.replace(dense, 2, bias)
        source, target = tmp_path / "f.tflite", tmp_path / "q.tflite"
        source.write_bytes(graph.save()[0])

        # Without the rewrites, which would spread the channel over all others.
        with (
            mock.patch.object(static_int8, "prepare"),
            mock.patch.object(full_int8, "prepare"),
        ):
            recipe(source, target, photos[:32], verbose=0)

        expected, got = (open_file(file)(photos)[0] for file in (source, target))
        assert decibel(expected, got) > 20


def test_bytes_of_a_photograph_are_codes(written):
    """A uint8 image gives the very answer that its floats give."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), "uint8")
    runtime = open_file(written["full_int8"])

    expected = runtime(pixels)[0]
    np.testing.assert_array_equal(
        expected, runtime(pixels.astype("float32") / 127.5 - 1)[0]
    )
    assert len(np.unique(expected)) > 10


def test_images_of_another_range_are_quantized_by_the_tensor():
    """imagenet's range needs three zeros and has one: codes are no pixels."""
    scale, zero, shift = full_int8.image_codes("imagenet", (0, 1))
    low, high = full_int8.image_range("imagenet", (0, 1))
    image = io_spec.TensorSpec("image", "uint8", (2,), scale, zero)

    assert 0.0 == shift
    ends = np.array([low, high], "float32")
    np.testing.assert_allclose(
        ends, image.to_values(image.to_codes(ends)), atol=scale / 2
    )
    assert (0.25, 6.0) == full_int8.image_range("none", (0.25, 6.0))


def test_codes_of_floats_are_clipped_and_ties_go_up():
    """Every pixel survives the way over floats; values outside stay at the ends."""
    scale, zero, shift = full_int8.image_codes("google", None)
    image = io_spec.TensorSpec("image", "uint8", (256,), scale, zero)
    pixels = np.arange(256)

    values = (pixels / 127.5 - 1).astype("float32")
    np.testing.assert_array_equal(pixels, image.to_codes(values))
    np.testing.assert_allclose(values, scale * (pixels - zero) + shift, atol=1e-6)
    assert [0, 255] == image.to_codes(np.array([-7.0, 7.0], "float32")).tolist()


def test_massive_tokens_get_a_range_of_their_own(
    exported, photos, tmp_path, monkeypatch
):
    """A token of huge length costs many dB, and two ranges bring them back."""
    graph = TFLiteGraph(exported["tflite"].path)
    add = next(op for op in graph.operators if op.name == "ADD")
    place = 1 if graph.value(add.inputs[1]) is not None else 0
    table = graph.value(add.inputs[place]).copy()
    table[0, 5] *= 1000
    graph.replace(add, place, table)
    source, found = tmp_path / "source.tflite", {}
    source.write_bytes(graph.save()[0])
    expected = open_file(source)(photos)[0]
    for name in ("two", "one"):
        path = tmp_path / f"{name}.tflite"
        full_int8.int16x8(source, path, photos[:32], verbose=0, mode="google")
        found[name] = decibel(expected, open_file(path)(photos)[0])
        monkeypatch.setattr(statistics, "energy_gap", lambda energies: None)

    assert found["two"] > found["one"] + 6


def test_the_gap_between_energies():
    """Found where it is wide; not among tokens alike, nor for a single one."""
    energies = np.array([1.0, 1.1, 0.9, 1.2, 900.0])

    assert math.sqrt(1.2 * 900) == pytest.approx(statistics.energy_gap(energies))
    assert statistics.energy_gap(np.linspace(1, 5, 50)) is None
    assert statistics.energy_gap(np.array([3.0])) is None


def test_an_operator_without_integer_form_is_named(exported, photos, tmp_path):
    """The recipe, the operator, its layer, and the way out; nothing is written."""
    graph = TFLiteGraph(exported["tflite"].path)
    odd = graph.add("ABS", [graph.outputs[0]], graph.like(graph.outputs[0]))
    graph.tensors[odd].name = "m/vit/odd_layer/Abs"
    total = graph.add("ADD", [odd, odd], graph.like(odd))
    graph.add("TANH", [total], graph.like(odd))
    graph.outputs = [*graph.outputs, total]
    source = tmp_path / "source.tflite"
    source.write_bytes(graph.save()[0])

    message = "full_int8: .*got ABS in layer 'odd_layer'. Use .*static_int8"
    with pytest.raises(UnsupportedLayer, match=message):
        full_int8.full_int8(source, tmp_path / "m.tflite", photos[:4], verbose=0)
    assert [source] == list(tmp_path.iterdir())


def test_a_float_left_over_is_noticed(exported):
    """The audit does not trust the writer."""
    with pytest.raises(UnsupportedLayer, match="full_int8: must hold no float tensor"):
        full_int8.audit(TFLiteGraph(exported["tflite"].path), "full_int8")


def test_ctrl_c_while_observing_leaves_nothing(
    model, photos, converted, tmp_path, monkeypatch
):
    """The float file that was written on the way goes, too."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(statistics, "watch", interrupt)

    with pytest.raises(KeyboardInterrupt):
        export.to_tflite(
            model, tmp_path / "m.tflite", "full_int8", calibration=photos, verbose=0
        )
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_in_integers(name, tiny, tmp_path):
    """Whatever the architecture: both recipes pass, and hold no float."""
    model = tiny(**VARIANTS[name])
    photos = io_spec.check_images(io_spec.contract_of(model, False), 40)
    source = export.to_tflite(model, tmp_path / "m.tflite", verbose=0).path
    expected = open_file(source)(photos)[0]
    for recipe in (full_int8.full_int8, full_int8.int16x8):
        path = tmp_path / f"{recipe.__name__}.tflite"
        mode = io_spec.contract_of(model, False).mode
        recipe(source, path, photos[:32], verbose=0, mode=mode)
        assert decibel(expected, open_file(path)(photos)[0]) > 25
    assert set() == floats(tmp_path / "full_int8.tflite")


@pytest.mark.slow
def test_a_hybrid_is_refused(tiny, photos, tmp_path):
    """Convolutions and group norms have no integer form here."""
    model = tiny(stem=(1, 1), patch_size=1, image_size=(32, 32))
    path = tmp_path / "m.tflite"

    with pytest.raises(UnsupportedLayer, match="CONV_2D in layer .*static_int8"):
        export.to_tflite(model, path, "full_int8", calibration=photos, verbose=0)
    assert [] == list(tmp_path.iterdir())
