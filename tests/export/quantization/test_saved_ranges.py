"""Ranges that are observed once: saved, read, refused, and as good as images."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import export
from keras_vit.errors import CheckpointError
from keras_vit.export import quantization
from keras_vit.export.formats.onnx.recipes import RECIPES as ONNX_RECIPES
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.images.image_folder import read_folder
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization.algorithms.prepare_graph import named_layers, prepare
from keras_vit.export.quantization.calibration import saved_ranges
from keras_vit.export.quantization.check_calibration import check_calibration
from keras_vit.export.quantization.graph.find_norms import bias_of
from keras_vit.export.quantization.graph.graph import FLOAT32, INT16, TFLiteGraph
from keras_vit.export.quantization.recipes import RECIPES

sensitivity = importlib.import_module(
    "keras_vit.export.quantization.algorithms.sensitivity"
)


@pytest.fixture(scope="module")
def ranges(model, photos, exported):
    """What the photos said of the model, by way of the file that exists."""
    patch = pytest.MonkeyPatch()
    content = exported["tflite"].path.read_bytes()
    patch.setattr(
        "keras_vit.export.conversion.tflite.write_savedmodel", lambda *_: None
    )
    patch.setattr("keras_vit.export.conversion.tflite.convert", lambda folder: content)
    with patch.context():
        found = quantization.calibrate(model, photos, verbose=0)
    patch.undo()
    return found


@pytest.mark.parametrize("recipe", ["static_int8", "full_int8"])
def test_saved_ranges_make_the_file_that_images_make(
    recipe, model, photos, ranges, converted, tmp_path
):
    """To the last byte, from the path of the saved ranges."""
    ranges.save(tmp_path / "ranges.json")
    options = {"quantization": recipe, "verbose": 0}

    first = export.to_tflite(
        model, tmp_path / "a.tflite", calibration=photos, **options
    )
    second = export.to_tflite(
        model, tmp_path / "b.tflite", calibration=tmp_path / "ranges.json", **options
    )

    assert first.path.read_bytes() == second.path.read_bytes()


def test_ranges_survive_their_file(ranges, tmp_path):
    """Every number, and nothing is written over."""
    path = tmp_path / "ranges.json"
    ranges.keeping(["a"]).save(path)
    found = quantization.Ranges.load(path)

    assert ("a",) == found.keep
    assert (ranges.model, ranges.images) == (found.model, found.images)
    assert (ranges.narrow, ranges.energies) == (found.narrow, found.energies)
    for name, group in ranges.spans.items():
        for number, pair in group.items():
            np.testing.assert_array_equal(pair, found.spans[name][number])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        ranges.save(path)


def test_ranges_of_another_model_are_refused(ranges, tiny, tmp_path):
    """Before anything is converted, with what to do."""
    other = tiny(depth=1)

    with pytest.raises(ValueError, match="ranges of this model.*quantization.calibr"):
        export.to_tflite(
            other, tmp_path / "m.tflite", quantization="full_int8", calibration=ranges
        )
    assert [] == list(tmp_path.iterdir())


def test_recipes_that_need_images_refuse_ranges(model, ranges, tmp_path):
    """Rounding to 4 bits looks at more than ranges."""
    with pytest.raises(
        ValueError, match="ranges, which only static_int8.*Pass the images"
    ):
        export.to_tflite(model, tmp_path / "m.tflite", "int4", calibration=ranges)
    with pytest.raises(ValueError, match="must be images.*got ranges.*Pass the images"):
        export.to_onnx(model, tmp_path / "m.onnx", "static_int8", calibration=ranges)


def test_every_format_takes_ranges_and_says_so(
    model, photos, ranges, converted, tmp_path
):
    """Those recipes that can; the card tells what they were made from."""
    ranges.save(tmp_path / "ranges.json")

    report = export.export_all(
        model,
        tmp_path / "out",
        photos,
        formats=["tflite_static_int8"],
        calibration=tmp_path / "ranges.json",
        verbose=0,
    )

    assert report.passed and (tmp_path / "out" / "model_static_int8.tflite").exists()
    assert 40 == report.calibration["ranges_of"]
    assert "saved ranges of 40, sha256" in report.card.read_text()


def test_a_folder_is_as_good_as_its_images(model, tmp_path):
    """Read and prepared as the model says; one that is none is named."""
    noise = np.random.default_rng(0)
    for index in range(33):
        pixels = noise.integers(0, 256, (40, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{index:02}.png")
    reference = Reference(model, False)
    expected = read_folder(tmp_path, model.preprocessing, 128)

    for given in (tmp_path, str(tmp_path)):
        for recipes in (RECIPES, ONNX_RECIPES):
            found = check_calibration(recipes, "static_int8", given, reference)
            np.testing.assert_array_equal(expected, found)
    with pytest.raises(NotADirectoryError, match="no: must be a folder of images"):
        read_calibration("no", reference)


DAMAGED = {
    "no json": "PK",
    "a list": "[]",
    "empty": "{}",
    "older": '{"keras_vit_ranges": 0}',
    "no number": None,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused(name, model, ranges, tmp_path):
    """Whatever is in it, in one sentence."""
    path = tmp_path / "ranges.json"
    ranges.save(path)
    content = json.loads(path.read_text())
    content["narrow"]["0"] = [1, -1]
    path.write_text(DAMAGED[name] or json.dumps(content))

    with pytest.raises(CheckpointError, match="must be ranges that keras_vit saved"):
        quantization.Ranges.load(path)


def test_a_missing_file_and_one_of_absurd_size(tmp_path, monkeypatch, ranges):
    """Named, and not read into memory."""
    path = tmp_path / "ranges.json"
    with pytest.raises(FileNotFoundError, match="no file .*ranges.json. Make it with"):
        quantization.Ranges.load(path)
    ranges.save(path)
    monkeypatch.setattr(saved_ranges, "LARGEST", 10)
    with pytest.raises(CheckpointError, match="bytes"):
        quantization.Ranges.load(path)


def test_ranges_of_another_version_are_noticed(ranges, exported):
    """A graph that is wired in another way has other tensors."""
    with pytest.raises(ValueError, match="all 1 tensors, got 0.*make them again"):
        ranges.of(TFLiteGraph(exported["onnx"].path.with_name("m.tflite")), [10**6])


SPARED = {"static_int8": (FLOAT32, 2), "full_int8": (INT16, 2)}


@pytest.mark.parametrize("recipe", SPARED)
def test_layers_that_are_spared(recipe, model, ranges, converted, tmp_path):
    """Their activations are float, or int16, with the GELU before them."""
    kind, count = SPARED[recipe]
    graph = TFLiteGraph(_float(converted, tmp_path))
    prepare(graph)
    name = next(name for name in named_layers(graph) if "fc2" in name)
    path = tmp_path / "m.tflite"

    export.to_tflite(
        model,
        path,
        quantization=recipe,
        calibration=ranges.keeping([name]),
        verbose=0,
    )

    graph = TFLiteGraph(path)
    # Sums of the norms have one unit, and work on 16 bits everywhere.
    layers = [
        graph.tensors[op.inputs[0]].type
        for op in graph.operators
        if op.name in ("FULLY_CONNECTED", "CONV_2D")
        and len(graph.value(op.inputs[1])) > 1
    ]
    assert count == layers.count(kind)


def test_layers_are_named_as_in_the_model(model, exported, ranges):
    """By their paths in Keras, in full; the head too, whose result is an output."""
    graph = TFLiteGraph(exported["tflite"].path)
    prepare(graph)
    paths = {w.path.rpartition("/")[0] for w in model.weights}

    inner = ("attention/qkv", "attention/proj", "mlp/fc1", "mlp/fc2")
    blocks = [f"block_{k}/{name}" for k in range(2) for name in inner]
    assert ["patch_encoder/projection", *blocks, "head"] == list(named_layers(graph))
    assert {*named_layers(graph)} <= paths
    with pytest.raises(TypeError, match="list of names, got 'head'. Pass .'head'."):
        ranges.keeping("head")


def test_a_layer_that_is_not_there(model, ranges, converted, tmp_path):
    """The names that exist are listed."""
    with pytest.raises(ValueError, match="got 'block_9'. Known: .*fc1"):
        export.to_tflite(
            model,
            tmp_path / "m.tflite",
            quantization="full_int8",
            calibration=ranges.keeping(["block_9"]),
            verbose=0,
        )


def _float(converted, folder):
    """The float32 file, from the converter that stands in."""
    from keras_vit.export.conversion import tflite

    path = folder / "float.tflite"
    path.write_bytes(tflite.convert(None))
    return path


def test_the_layer_that_suffers_is_found(ranges, model, photos, exported, monkeypatch):
    """A unit that dwarfs all others spoils two layers, which then lead the table."""
    graph = TFLiteGraph(exported["tflite"].path)
    prepare(graph)
    worst = [name for name in named_layers(graph) if "fc1" in name][1]
    layer = named_layers(graph)[worst]
    bias = bias_of(graph, layer) + np.eye(1, 32, 3, "float32")[0] * 1e4
    graph.tensors[layer.inputs[2]].data = bias
    monkeypatch.setattr(
        sensitivity, "float_graph", lambda _: (Reference(model, False), graph.copy())
    )
    monkeypatch.setattr(sensitivity, "JUDGED", 4)
    spans = dict(ranges.spans[saved_ranges.signature(graph)])
    spans[layer.outputs[0]] = (np.array([-1e4], "float32"), np.array([1e4], "float32"))
    wide = dataclasses.replace(
        ranges,
        spans={saved_ranges.signature(graph): spans},
        narrow={**ranges.narrow, layer.outputs[0]: (-1e4, 1e4)},
    )

    table = quantization.sensitivity(model, photos, wide, verbose=0)

    assert {worst, worst.replace("fc1", "fc2")} == set(table.worst(2))
    assert set(named_layers(graph)) == {row.layer for row in table.rows}
    assert table.rows[1].decibel < table.rows[2].decibel - 3
    assert str(table).splitlines()[1].startswith(table.rows[0].layer)
