"""float16, dynamic_int8 and static_int8 for ONNX: figures, exactness, errors."""

import json

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from keras_vit import export, progress
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.formats.onnx import quantize, serialization
from keras_vit.export.formats.onnx.graph import OnnxGraph
from keras_vit.export.formats.onnx.saturation import largest_values, saturating_weights
from keras_vit.export.inspection.summary import inspect
from keras_vit.export.runtime.precision import PRECISIONS, Precision
from keras_vit.export.runtime.runtimes import open_file, open_session

RECIPES = ("float16", "dynamic_int8", "static_int8")
UNIT = 5  # the hidden unit that `loud` makes stand out


@pytest.fixture(scope="module")
def loud(tiny):
    """A tiny model in which one hidden unit dwarfs all others, and is read softly."""
    model = tiny(labels=["a", "b", "c", "d", "e"])
    mlp = model.get_layer("block_1").mlp
    bias, kernel = np.array(mlp.fc1.bias), np.array(mlp.fc2.kernel)
    bias[UNIT] = 200.0
    kernel[UNIT] /= 100.0
    mlp.fc1.bias.assign(bias)
    mlp.fc2.kernel.assign(kernel)
    return model


@pytest.fixture(scope="module")
def files_(loud, photos, tmp_path_factory):
    """Recipe -> `Exported` with an open batch; None for float32."""
    folder = tmp_path_factory.mktemp("onnx")
    made = {}
    for recipe in (None, *RECIPES):
        made[recipe] = export.to_onnx(
            loud,
            folder / f"{recipe}.onnx",
            recipe,
            dynamic_batch=True,
            calibration=photos if recipe == "static_int8" else None,
            verbose=0,
        )
    return made


@pytest.mark.parametrize(
    ("recipe", "precision", "least"),
    [
        ("float16", "float16", 50),
        ("dynamic_int8", "int8", 30),
        ("static_int8", "int8", 30),
    ],
)
def test_recipe(recipe, precision, least, files_, loud, photos):
    """Small weights, float32 at both ends, the model's answers, an open batch."""
    made = files_[recipe]
    graph = onnx.load(made.path)
    facts = {entry.key: entry.value for entry in graph.metadata_props}

    assert (recipe, precision) == (made.quantization, open_file(made).precision)
    assert recipe == facts["quantization"] and loud.labels == json.loads(
        facts["labels"]
    )
    assert "onnxruntime" in json.loads(facts["versions"])
    assert ["float32"] * 2 == [t.dtype for t in (*made.inputs, *made.outputs)]
    assert "batch" == graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert made.size_bytes < files_[None].size_bytes + 16_000
    expected, got = loud.predict(photos, verbose=0), open_file(made)(photos)[0]
    noise = 10 * np.log10((expected**2).sum() / ((got - expected) ** 2).sum())
    assert noise > least


def test_integer_layers(files_):
    """Every product with a constant is an integer one, but the first and the last."""
    dynamic, static = (files_[name].operators for name in RECIPES[1:])

    assert 8 == dynamic["MatMulInteger"] == dynamic["DynamicQuantizeLinear"]
    assert 8 == static["QuantizeLinear"]
    for recipe in RECIPES[1:]:
        constants = serialization.read(files_[recipe].path).constants
        half = [name for name, array in constants.items() if array.dtype == "float16"]
        assert ["patch_encoder", "head"] == [name.split("/")[0] for name in half]


def test_a_token_has_its_own_range(tmp_path):
    """One token a thousand times as large costs the others nothing."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 4)).astype("float32")
    x = rng.uniform(-1, 1, (5, 6)).astype("float32")
    x[0] *= 1000
    x[1] = 0
    graph = small_graph(weights)
    (layer,) = quantize.find_layers(graph)

    graph.rewrite(lambda _: quantize.dynamic_dense(graph, layer))

    got = run(graph, tmp_path / "g.onnx", x)
    np.testing.assert_allclose(got[1:], x[1:] @ weights, atol=0.04)


@pytest.mark.parametrize("recipe", RECIPES[1:])
def test_every_processor_multiplies_alike(recipe, files_):
    """No pair of 8-bit products of the file can leave 16 bits."""
    assert [] == inspect(files_[recipe].path, "onnx")["saturating"]


def test_a_file_of_another_tool_is_said_to_saturate(files_, tmp_path):
    """onnxruntime's own recipe fills all 8 bits; the summary says what may happen."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"per_channel": True, "weight_type": QuantType.QInt8}
    quantize_dynamic(files_[None].path, tmp_path / "theirs.onnx", **options)

    names = inspect(tmp_path / "theirs.onnx", "onnx")["saturating"]
    assert 8 < len(names) and "_quantized" in names[0]


def test_a_loud_unit_passes_beside(files_, loud, photos, tmp_path, monkeypatch):
    """Without `split_outlier_channels` the file is many times as noisy."""
    monkeypatch.setattr(quantize, "outliers", lambda tops, *_: (np.zeros(0, int), 0.0))
    monkeypatch.setitem(PRECISIONS, "int8", Precision(-99.0, -99.0))

    plain = export.to_onnx(loud, tmp_path / "m.onnx", "dynamic_int8", verbose=0)

    assert files_["dynamic_int8"].operators["Gather"] > plain.operators["Gather"]
    gain = files_["dynamic_int8"].signal_to_noise_db - plain.signal_to_noise_db
    assert gain > 10


def small_graph(weights, operator="MatMul", bias=None, **options):
    """x (n, in) times a constant, as `OnnxGraph`."""
    graph = OnnxGraph(20)
    graph.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])]
    graph.outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])]
    given = ["x", graph.array(weights, "w")]
    given += [] if bias is None else [graph.array(bias, "b")]
    graph.name_outputs([graph.add(operator, *given, **options)], ["y"])
    return graph


def run(graph, file, x):
    """What a graph makes of x."""
    serialization.save(graph, file)
    serialization.check(file)
    return open_session(file).run(None, {"x": x})[0]


def test_taking_channels_out_is_exact(tmp_path):
    """For any input: also where channels that stayed are larger than those taken."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 4)).astype("float32")
    x = rng.normal(size=(5, 6)).astype("float32") * [1, 900, 1, 1, -70, 1]
    x = x.astype("float32")
    graph = small_graph(weights)
    (layer,) = quantize.find_layers(graph)
    layer = quantize.dataclasses.replace(layer, taken=np.array([1, 2]))

    def replace(_):
        main, beside = quantize.split_outlier_channels(graph, layer)
        kernel = graph.array(main.weight, "kernel")
        return graph.add("Add", graph.add("MatMul", main.x, kernel), beside)

    graph.rewrite(replace)

    expected = x.astype("float64") @ weights
    np.testing.assert_allclose(run(graph, tmp_path / "g.onnx", x), expected, rtol=1e-4)
    assert 2 == sum(node.op_type == "MatMul" for node in graph.nodes)


@pytest.mark.parametrize("write", ["dynamic_dense", "static_dense"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_dense_layers_in_integers(write, transposed, tmp_path):
    """Gemm with either layout; a bias on a channel without weights is kept."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 4)).astype("float32")
    weights[:, 2] = 0.0
    bias = np.array([1, -2, 300, 0.5], "float32")
    x = rng.uniform(-1, 1, (50, 6)).astype("float32")
    stored = weights.T if transposed else weights
    graph = small_graph(stored, "Gemm", bias, transB=transposed)
    (layer,) = quantize.find_layers(graph)
    layer = quantize.dataclasses.replace(layer, given=(-1.0, 1.0))

    graph.rewrite(lambda _: getattr(quantize, write)(graph, layer))

    got = run(graph, tmp_path / "g.onnx", x)
    steps = largest_values(weights.T, dense=True) / 127
    half_steps = np.abs(weights).sum(axis=0) / 255 + len(weights) * steps / 2
    assert (np.abs(got - (x @ weights + bias)) <= half_steps + 1e-3).all()
    assert {"int8"} <= {str(values.dtype) for values in graph.constants.values()}


def test_what_is_no_dense_layer_is_left_alone():
    """Scaled products, batched constants and products of two inputs."""
    weights = np.ones((6, 4), "float32")

    assert [] == quantize.find_layers(small_graph(weights, "Gemm", alpha=2.0))
    assert [] == quantize.find_layers(small_graph(weights[None], "MatMul"))
    assert [] == quantize.find_layers(small_graph(np.ones((6, 6)), "Add"))


def test_float16_leaves_large_numbers_wide():
    """65504 is the end of 16-bit floats; what lies above stays in 32."""
    weights = np.ones((6, 40), "float32")
    graph = small_graph(weights, "Gemm", np.full(256, 7e4))

    assert 1 == quantize.float16(graph)
    dtypes = {name: str(values.dtype) for name, values in graph.constants.items()}
    assert {"w/half": "float16", "b": "float32"} == dtypes


@pytest.fixture(scope="module")
def foreign():
    """A convolutional model without any layer of ours."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(image, keras.layers.Dense(3)(x))


@pytest.mark.parametrize("recipe", RECIPES)
def test_models_of_other_packages(recipe, foreign, tmp_path):
    """Files of tf2onnx go through the same recipes, convolutions included."""
    images = np.random.default_rng(0).uniform(-1, 1, (32, 16, 16, 3)).astype("float32")
    calibration = images if recipe == "static_int8" else None

    made = export.to_onnx(
        foreign, tmp_path / "m.onnx", recipe, calibration=calibration, verbose=0
    )

    assert made.signal_to_noise_db > 30
    assert [] == saturating_weights(serialization.read(made.path))
    if recipe == "static_int8":
        assert 3 == made.operators["QuantizeLinear"]  # both ends of Conv, one of Dense
    if recipe == "dynamic_int8":
        assert (1, 1) == (
            made.operators["MatMulInteger"],
            made.operators["DequantizeLinear"],
        )


def test_nothing_to_quantize_is_refused(tmp_path):
    """A model without dense layers is not passed off as an 8-bit one."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Reshape((192,))(image))

    with pytest.raises(UnsupportedLayer, match="dynamic_int8 needs dense.*=None"):
        export.to_onnx(model, tmp_path / "m.onnx", "dynamic_int8", verbose=0)
    assert [] == list(tmp_path.iterdir())


def test_calibration_goes_with_static_alone(loud, photos, tmp_path):
    """Images that are missing, not wanted or wrong are refused before any work."""
    file = tmp_path / "m.onnx"

    with pytest.raises(
        ValueError, match="must be given with quantization='static_int8"
    ):
        export.to_onnx(loud, file, "static_int8")
    with pytest.raises(ValueError, match="goes with static_int8 only, got .*'float16'"):
        export.to_onnx(loud, file, "float16", calibration=photos)
    with pytest.raises(ValueError, match="model, -1 to 1, got.*preprocess_input"):
        export.to_onnx(loud, file, "static_int8", calibration=photos * 255)
    assert [] == list(tmp_path.iterdir())


def test_calibration_shows_progress_and_can_be_interrupted(
    loud, photos, tmp_path, capsys, monkeypatch
):
    """A line and a bar; Ctrl-C while images run leaves nothing."""

    def interrupt(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.Bar, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export.to_onnx(loud, tmp_path / "m.onnx", "static_int8", calibration=photos)

    assert "calibrating on 40 images" in capsys.readouterr().out
    assert [] == list(tmp_path.iterdir())
