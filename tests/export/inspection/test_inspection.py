import json
import shutil

import numpy as np
import pytest

from keras_vit import export
from keras_vit.errors import ExportMismatch
from keras_vit.export.inspection import (
    anatomy,
    blocks,
    delegates,
    half,
    layers,
    onnx,
    summary,
    tflite,
)
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization.algorithms import prepare_graph
from keras_vit.export.quantization.graph.graph import TFLiteGraph
from keras_vit.export.report.artefacts import ARTEFACTS

READ = {"tflite": tflite.read, "int8": tflite.read, "onnx": onnx.read}
POINTS = ["stem", "block_0.attention", "block_0.mlp", "block_1.attention"]
POINTS += ["block_1.mlp"]


@pytest.fixture(scope="module")
def opened(exported):
    """Name -> `Anatomy` of each shared file that shows its inside."""
    return {name: read(exported[name].path) for name, read in READ.items()}


@pytest.fixture(scope="module")
def reports(model, exported, photos):
    """Name -> `LayerReport` of each shared file."""
    reference = Reference(model)
    return {
        name: layers.compare_layers(
            reference,
            exported[name].path,
            exported[name].format,
            "int8" if name == "int8" else "float32",
            photos,
        )
        for name in exported
    }


@pytest.mark.parametrize("name", READ)
def test_the_stream_is_found_by_structure(name, opened):
    """Two additions per block and what enters the first, all tokens wide."""
    stream = blocks.residual_stream(opened[name])

    assert POINTS == blocks.name_points(stream)
    for key in stream:
        assert (17, 16) == opened[name].tensors[key].shape[-2:]


@pytest.mark.parametrize("name", READ)
def test_multiplications_are_counted(name, opened):
    """Patches, four dense layers and two products per block, and the head."""
    tokens, width, hidden = 17, 16, 32
    dense = tokens * width * (3 * width + width + 2 * hidden)
    block = dense + 2 * tokens * tokens * width
    expected = 16 * (8 * 8 * 3) * width + 2 * block + width * 5

    shares = anatomy.compute_shares(opened[name])

    assert expected == shares["macs"]
    assert 1.0 == pytest.approx(sum(shares[kind] for kind in anatomy.KINDS))
    products = 2 * 2 * tokens * tokens * width
    dynamic = 1 - products / expected if name == "int8" else 0.0
    assert dynamic == pytest.approx(shares["dynamic"], abs=0.02)


@pytest.mark.parametrize("name", READ)
def test_weights_are_grouped_by_block(name, opened, exported):
    """Equal blocks weigh the same; together no more than the file."""
    sizes = anatomy.weight_bytes(opened[name], blocks.parts(opened[name]))

    assert {*POINTS, "head"} == set(sizes)
    assert sizes["block_0.mlp"] == pytest.approx(sizes["block_1.mlp"], abs=64)
    assert 0.3 < sum(sizes.values()) / exported[name].size_bytes <= 1
    assert "head" == blocks.parts(opened[name])[len(opened[name].operators) - 1]


def test_dtypes_are_listed_per_operator(opened):
    """Each kind of operator with what goes in and out, and how often."""
    table = anatomy.dtype_table(opened["tflite"])

    assert {"float32 > float32": 10} == table["FULLY_CONNECTED"]
    assert sum(table["ADD"].values()) >= 4


def test_a_file_without_blocks_is_one_part(opened):
    """Nothing is guessed where the structure is not there."""
    whole = opened["onnx"]
    few = anatomy.Anatomy("onnx", whole.tensors, whole.operators[:2], (), ())

    assert [] == blocks.residual_stream(few)
    assert {0: "model", 1: "model"} == blocks.parts(few)
    assert ["stem", "addition_0"] == blocks.name_points([1, 2])


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_float_files_agree_block_by_block(name, reports):
    """All points far above the limit, in the model's own channels."""
    report = reports[name]

    assert POINTS == list(report.points)
    assert min(report.points.values()) > 90
    assert ("model", None, "") == (report.basis, report.first_wrong, report.note)


def test_rounding_is_seen_but_not_wrong(reports):
    """8-bit weights add noise that stays above 10 dB."""
    report = reports["int8"]

    assert 15 < min(report.points.values()) < 60
    assert report.first_wrong is None and report.noisiest in POINTS[1:]
    assert "most noise is added at" in str(report)


def test_formats_that_hide_their_inside_say_so(reports):
    """No figure is better than a wrong one."""
    assert {} == reports["savedmodel"].points
    assert "not comparable, savedmodel files" in str(reports["savedmodel"])


def test_the_first_wrong_layer_is_named(model, exported, photos, tmp_path):
    """Weights of one layer are spoilt in the file: it is found, others stay right."""
    import onnx as library

    broken = library.load(exported["onnx"].path)
    (kernel,) = [
        tensor
        for tensor in broken.graph.initializer
        if "block_1/mlp/fc2/kernel" in tensor.name
    ]
    values = 3.0 * np.ones(tuple(kernel.dims), "float32")
    kernel.CopyFrom(library.numpy_helper.from_array(values, kernel.name))
    library.save(broken, tmp_path / "m.onnx")

    with pytest.raises(ExportMismatch, match="first at block_1.mlp") as error:
        export.verify(model, tmp_path / "m.onnx", photos, layers=True, verbose=0)

    report = error.value.report
    assert "block_1.mlp" == report.layers.first_wrong == report.layers.noisiest
    assert report.layers.points["block_1.attention"] > 90
    assert "goes wrong first at block_1.mlp" in summary.describe(report)


def test_a_turned_stream_is_turned_back(model, exported, photos, tmp_path):
    """A rewritten file compares as well as the one it was made from."""
    graph = TFLiteGraph(exported["tflite"].path)
    prepare_graph.prepare(graph)
    (tmp_path / "m.tflite").write_bytes(graph.save()[0])

    report = export.verify(model, tmp_path / "m.tflite", photos, layers=True, verbose=0)

    assert "turned" == report.layers.basis
    assert min(report.layers.points.values()) > 80
    assert report.half["fits"] and report.half["largest"] > 0


def test_what_cannot_be_compared_is_not(tiny, model, exported, photos):
    """Other depth, other stem, or no blocks at all: a note instead of figures."""
    path = exported["onnx"].path
    arguments = (path, "onnx", "float32", photos)

    deeper = layers.compare_layers(Reference(tiny(depth=3)), *arguments)
    assert {} == deeper.points
    assert "4 residual additions in a row, the model 6" in deeper.note
    shorter = layers.compare_layers(Reference(tiny(registers=2)), *arguments)
    assert "has shape" in shorter.note
    other = tiny()
    for weight in other.get_layer("patch_encoder").weights:
        weight.assign(np.random.default_rng(9).normal(size=weight.shape))
    strange = layers.compare_layers(Reference(other), *arguments)
    assert {} == strange.points and "first block differs already" in strange.note


def test_activations_beyond_16_bits_are_found(tiny, photos, tmp_path):
    """A hidden unit of 1e5 fits float32 alone, and the operator is named."""
    model = tiny()
    block = model.get_layer("block_1")
    block.mlp.fc1.bias.assign(np.full(32, 1e5))
    block.mlp.fc2.kernel.assign(np.zeros((32, 16)))
    path = export.to_onnx(model, tmp_path / "m.onnx", verbose=0).path

    found = half.largest_activation(path, "onnx", photos)

    assert not found["fits"] and 1e5 == pytest.approx(found["largest"], rel=1e-3)
    assert "block_1/mlp" in found["operator"]


def test_delegates_name_what_they_refuse(opened):
    """Floats go to the GPU and not to an NPU; the first refused operator is named."""
    gpu = delegates.refusals(opened["tflite"], "gpu")
    npu = delegates.refusals(opened["tflite"], "npu")

    assert (1.0, 1.0, []) == (gpu["operators"], gpu["macs"], gpu["refused"])
    assert (0.0, 0.0) == (npu["operators"], npu["macs"])
    assert any(text.startswith("float32: ") for text in npu["refused"])
    micro = delegates.refusals(opened["tflite"], "microcontroller")
    assert any("not supported" in text and "GELU" in text for text in micro["refused"])


@pytest.mark.parametrize(
    ("operator", "shape", "dtype", "reason"),
    [
        ("ADD", (1, 2, 3, 4, 5), "float32", "rank 5"),
        ("ADD", (None, 2), "float32", "open shape"),
        ("ADD", (1, 2), "int16", "int16"),
        ("TOPK_V2", (1, 2), "float32", "not supported"),
    ],
)
def test_each_rule_of_the_gpu_refuses(operator, shape, dtype, reason):
    """One operator that breaks one rule."""
    tensors = {
        0: anatomy.Tensor("x", dtype, shape),
        1: anatomy.Tensor("y", dtype, shape),
    }
    op = anatomy.Operator(operator, (0,), (1,))
    found = delegates.refusals(
        anatomy.Anatomy("tflite", tensors, [op], (0,), (1,)), "gpu"
    )

    assert [f"{reason}: 1 {operator}, first {operator} (y)"] == found["refused"]


def test_verify_tells_what_stands_in_the_file(model, exported, photos, answers):
    """On the way, without asking; JSON and text hold it."""
    report = export.verify(model, exported["int8"], photos, answers, verbose=0)

    stored = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert stored["inspection"]["gpu"]["refused"] == []
    assert stored["layers"] is None and stored["half"] is None
    text = summary.describe(report)
    for part in ("quantized on the fly", "highest rank: 4", "block_1 0.00 MB"):
        assert part in text
    assert summary.inspect(exported["savedmodel"].path, "savedmodel") is None


def test_a_failure_can_be_a_report(model, exported, photos, tmp_path):
    """Only the two known answers to a failure are taken."""
    shutil.copy(exported["onnx"].path, tmp_path / "m.onnx")

    with pytest.raises(ValueError, match="on_failure: must be one of 'raise'"):
        export.verify(model, tmp_path / "m.onnx", photos, on_failure="ignore")


@pytest.mark.slow
@pytest.mark.parametrize(
    "artefact",
    [a for a in ARTEFACTS.values() if a.kind != "savedmodel"],
    ids=lambda a: a.name,
)
def test_every_recipe_compares_block_by_block(artefact, tiny, photos, tmp_path):
    """Whatever a recipe does to the stream, it is found, turned back and clean."""
    model = tiny(width=32)
    write = export.to_tflite if artefact.kind == "tflite" else export.to_onnx
    options = {"calibration": photos} if artefact.calibrated else {}
    path = tmp_path / artefact.file
    write(model, path, artefact.quantization, verbose=0, **options)

    report = export.verify(model, path, photos, layers=True, verbose=0)

    assert POINTS == list(report.layers.points) and report.layers.first_wrong is None
    assert min(report.layers.points.values()) > 15
    integer = report.inspection["compute"]["integer"]
    assert (integer == 1.0) == (artefact.quantization in ("full_int8", "int16x8"))
