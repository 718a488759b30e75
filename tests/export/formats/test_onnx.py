import json

import keras
import numpy as np
import onnx
import pytest

import keras_vit
from keras_vit import export
from keras_vit.export.formats.onnx.exporter import unwritable
from keras_vit.export.runtime.runtimes import open_file

OPTIONS = {
    "plain": {},
    "wide": {"image_size": (16, 48), "patch_size": (8, 4)},
    "grey": {"channels": 1},
    "gap": {"pooling": "gap"},
    "map": {"pooling": "map", "activation": "gelu_tanh"},
    "tokens": {"include_top": False, "pooling": None},
    "learned2d": {"position": "learned2d"},
    "sincos2d": {"position": "sincos2d", "position_prefix": False},
    "relative": {"position": "relative"},
    "relative_qk": {"position": "relative", "qk_norm": True, "qkv_bias": False},
    "no_position": {"position": "none", "pooling": "gap", "patch_bias": False},
    "registers": {"registers": 3, "layer_scale": 0.1, "position_prefix": False},
    "distilled": {"distilled": True, "registers": 1},
    "clip": {"norm_input": True, "representation_size": 12},
    "fc_norm": {"norm_pooled": True, "pooling": "gap", "class_token": True},
    "softmax": {"classifier_activation": "softmax", "drop_path": 0.1, "dropout": 0.1},
    "hybrid": {"stem": (1, 1), "patch_size": 1, "image_size": (40, 32)},
    "half": {"dtype": "mixed_float16", "position": "relative", "qk_norm": True},
}


# Only GELU depends on the version of the operator set.
OPSETS = [*((name, 20) for name in OPTIONS), ("plain", 18), ("map", 18), ("plain", 23)]


@pytest.mark.parametrize(("name", "opset"), OPSETS)
def test_every_option_is_written(name, opset, tiny, tmp_path):
    """Each architecture gives the model's answers for one and for three images."""
    model = tiny(**OPTIONS[name])

    result = export.to_onnx(
        model, tmp_path / "m.onnx", dynamic_batch=True, opset=opset, verbose=0
    )

    assert [] == unwritable(model)
    assert result.largest_difference < 1e-5
    assert ("Gelu" in result.operators) == (opset >= 20)
    assert result.operators["LayerNormalization"] >= 5


def test_graph_is_valid_and_closed(exported):
    """The checker passes; the image is the only input; nothing dangles."""
    onnx.checker.check_model(str(exported["onnx"].path), full_check=True)

    graph = onnx.load(exported["onnx"].path).graph

    known = {tensor.name for tensor in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert set(node.input) <= known
        known.update(node.output)
    assert ["image"] == [tensor.name for tensor in graph.input]
    assert ["logits"] == [tensor.name for tensor in graph.output]
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used


def test_norm_and_gelu_are_single_operators(exported):
    """Two blocks: five norms, two GELU, and no spelt-out arithmetic."""
    operators = exported["onnx"].operators

    assert (5, 2) == (operators["LayerNormalization"], operators["Gelu"])
    assert not {"Erf", "Sqrt", "Pow", "Div", "Shape"} & set(operators)


def test_file_carries_what_an_application_needs(exported, model):
    """Version, labels and preprocessing are in the metadata."""
    loaded = onnx.load(exported["onnx"].path)
    facts = {entry.key: entry.value for entry in loaded.metadata_props}

    assert ("keras_vit", keras_vit.__version__) == (
        loaded.producer_name,
        facts["keras_vit_version"],
    )
    assert model.labels == json.loads(facts["labels"])
    note = keras_vit.Preprocessing(**json.loads(facts["preprocessing"]))
    assert model.preprocessing == note


def test_open_batch_is_called_batch(tiny, tmp_path):
    """The dimension has a name in input and output."""
    export.to_onnx(tiny(), tmp_path / "m.onnx", dynamic_batch=True, verbose=0)

    graph = onnx.load(tmp_path / "m.onnx").graph

    names = [t.type.tensor_type.shape.dim[0].dim_param for t in graph.input]
    names += [t.type.tensor_type.shape.dim[0].dim_param for t in graph.output]
    assert ["batch", "batch"] == names


@pytest.mark.parametrize("layout", ["tokens", "grid"])
def test_feature_maps_of_several_blocks(layout, tiny, images, tmp_path):
    """Several outputs keep their order and shape."""
    model = keras_vit.feature_extractor(tiny(), blocks=[1, 0], layout=layout)

    result = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    assert ["features_0", "features_1"] == [tensor.name for tensor in result.outputs]
    got = open_file(result.path)(images)
    for expected, answer in zip(model.predict(images, verbose=0), got, strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_models_inside_models_are_written(tiny, tmp_path):
    """A backbone under a new head, and a layer that is called twice."""
    shared = keras.layers.Dense(6, activation="tanh", name="twice")
    image = keras.Input((32, 32, 3))
    backbone = tiny(include_top=False)
    x = backbone(image)
    model = keras.Model(image, keras.layers.Average()([shared(x), shared(x)]))
    stack = keras.Sequential([backbone, keras.layers.Dropout(0.1), shared])

    for number, each in enumerate((model, stack)):
        file = tmp_path / f"{number}.onnx"
        result = export.to_onnx(each, file, verbose=0)
        assert [] == unwritable(each)
        assert (1, 6) == result.outputs[0].shape


def test_output_that_is_also_used_inside(tiny, tmp_path):
    """A tensor can be read by another layer and leave the graph twice."""
    model = tiny(include_top=False)
    twice = keras.Model(model.input, [model.output, model.output, model.output[:, 1:]])

    result = export.to_onnx(twice, tmp_path / "m.onnx", verbose=0)

    assert [(1, 16), (1, 16), (1, 15)] == [tensor.shape for tensor in result.outputs]


def test_options_are_checked_first(tiny, tmp_path):
    """Wrong suffix, opset and recipe are refused with what is known."""
    model = tiny()

    with pytest.raises(ValueError, match="must end in .onnx, got .*Use 'm.onnx'"):
        export.to_onnx(model, tmp_path / "m.pb")
    with pytest.raises(ValueError, match="opset: must be one of 18, .*got 11"):
        export.to_onnx(model, tmp_path / "m.onnx", opset=11)
    with pytest.raises(
        ValueError, match="quantization: must be one of None, .float16.*got .x."
    ):
        export.to_onnx(model, tmp_path / "m.onnx", quantization="x")
