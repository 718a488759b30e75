import pathlib
import types

import pytest

from keras_vit.export.report import advice, error_bars, pareto
from keras_vit.intervals import Change


def file(name, megabytes, milliseconds, lost=0.0, **changes):
    """A verified file with round figures."""
    kind = {".tflite": "tflite", ".onnx": "onnx"}.get(
        pathlib.Path(name).suffix, "savedmodel"
    )
    integer = 1.0 if "full" in name else 0.0
    facts = {
        "path": pathlib.Path(name),
        "format": kind,
        "size_bytes": int(megabytes * 1e6),
        "milliseconds": milliseconds,
        "top1_keras": 80.0,
        "top1": 80.0 - lost,
        "top1_interval": (77.0 - lost, 83.0 - lost),
        "score": "top-1",
        "top1_text": f"top-1 {80.0 - lost:.2f}%",
        "change": Change(1000, round(10 * lost), 0, round(10 * lost)),
        "agreement": 99.0,
        "images": 1000,
        "passed": True,
        "precision": "int8" if "int" in name else "float32",
        "half": None,
        "inspection": {"compute": {"integer": integer}, "gpu": {"refused": []}},
    }
    return types.SimpleNamespace(**{**facts, **changes})


FILES = [
    file("saved_model", 24, 80.0),
    file("model.tflite", 23, 40.0),
    file("model_dynamic_int8.tflite", 6, 16.0, 0.2),
    file("model_int4.tflite", 4, 17.0, 2.2),
    file("model_full_int8.tflite", 6, 160.0, 0.4),
    file("model.onnx", 23, 41.0),
]


def test_every_use_gets_its_file():
    """Small and fast among those that keep the accuracy; floats for GPUs."""
    found = {a.use: a.artefact.path.name for a in advice.advise(FILES)}

    assert {
        "Phone, processor": "model_dynamic_int8.tflite",
        "Phone, GPU": "model.tflite",
        "Chip without floats": "model_full_int8.tflite",
        "Server, onnxruntime": "model.onnx",
        "TensorFlow Serving": "saved_model",
    } == found


def test_the_reason_has_the_figures():
    """Ratios to the float32 file, and both accuracies."""
    first = advice.advise(FILES)[0]

    expected = "0.26x the size and 0.40x the time of float32 TFLite, top-1 79.80%"
    assert expected in first.why and "" == first.caution
    assert {"use", "file", "why", "caution"} == set(first.to_dict())


def test_when_nothing_is_good_enough_the_best_comes_with_a_warning():
    """The one that loses least; failed files are no choice at all."""
    poor = [
        file("model_a_int8.tflite", 6, 9.0, 3.0),
        file("b_int8.tflite", 7, 9.0, 2.0),
    ]
    poor.append(file("c_int8.tflite", 1, 1.0, passed=False))

    (found,) = advice.advise(poor)

    assert "b_int8.tflite" == found.artefact.path.name
    assert "Loses more than 0.5 points." == found.caution
    assert [] == advice.advise(poor[2:])


def test_overflow_of_16_bits_is_a_caution_for_gpus():
    """The delegate computes in 16 bits unless asked not to."""
    half = {"fits": False, "largest": 329508.9, "operator": "MUL (norm2)"}
    (_, gpu) = advice.advise([file("model.tflite", 23, 40.0, half=half)])

    assert "cannot hold 3.3e+05 at MUL (norm2): ask" in gpu.caution


def test_without_labels_agreement_counts():
    """One image may always differ; of features nothing is known."""
    plain = file("model.tflite", 23, 40.0, top1=None)

    assert 1.0 == advice.lost(plain) and not advice.good_enough(plain)
    plain.images = 100
    assert advice.good_enough(plain)
    plain.agreement = None
    assert advice.lost(plain) is None and advice.good_enough(plain)


def test_the_picture_shows_every_file():
    """A bubble and a name each, coloured by what is lost, and the front."""
    drawn = pareto.draw(FILES)

    assert len(FILES) == drawn.count("<circle")
    assert 1 == drawn.count('bubble much"') and 5 == drawn.count('bubble fine"')
    for text in ("int4 -2.2", "SavedModel", "dynamic_int8", "ms for one image"):
        assert f">{text}</text>" in drawn
    assert "" == pareto.draw(FILES[:1])


def test_every_file_has_an_error_bar():
    """From end to end of its interval, and Keras as a line; none without labels."""
    drawn = error_bars.draw(FILES)

    assert len(FILES) == drawn.count('class="bar ') == drawn.count("<circle")
    assert 1 == drawn.count(">Keras</text>") and ">77.80%</text>" in drawn
    assert "" == error_bars.draw([file("model.onnx", 1, 1.0, top1=None)])


def test_the_front_joins_what_is_not_beaten():
    """Smaller and slower beside larger and faster."""
    files = [file("a.onnx", 1, 9.0), file("b.onnx", 5, 1.0), file("c.onnx", 6, 10.0)]
    (line,) = [p for p in pareto.draw(files).split("<") if p.startswith("polyline")]

    assert 2 == line.split('"')[1].count(",")


def test_labels_do_not_cover_each_other():
    """Eight files in one spot: no two boxes overlap, all lie inside."""
    places = [(300.0 + k, 200.0 + k) for k in range(8)]
    boxes = pareto.spread(places, ["a file's name"] * 8)

    for index, one in enumerate(boxes):
        assert one[0] >= pareto.LEFT and one[2] <= pareto.WIDTH
        for other in boxes[:index]:
            apart = one[2] <= other[0] or other[2] <= one[0]
            assert apart or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("values", [[5.0], [0.2, 3000.0], [1.0, 1.0]])
def test_axes_hold_all_values(values):
    """Within the ends, in order, with at most seven round ticks."""
    axis = pareto.Axis(values, 0, 100)

    assert all(0 < axis(value) < 100 for value in values)
    assert len(axis.ticks) <= 7
    assert sorted(axis.ticks) == axis.ticks


def command(files, labels=("a",), channels=3, stated=True, model_file="m.keras"):
    """What makes the advised file one for an app."""
    image = types.SimpleNamespace(shape=(1, 32, 32, channels))
    contract = types.SimpleNamespace(image=image, stated=stated)
    return advice.app_command(advice.advise(files), contract, labels, model_file)


def test_the_command_for_an_app_names_the_advised_recipe():
    """With what the recipe and the model lack; grey models are not for MediaPipe."""
    base = "keras-vit export m.keras app/ --for "
    assert base + "android" == command(FILES)
    assert base + "android --quantization float32" == command(FILES[1:2])
    static = [file("model_static_int8.tflite", 6, 1.0)]
    calibrated = "--quantization static_int8 --calibration FOLDER"
    assert f"{base}android {calibrated}" == command(static)
    assert base + "microcontroller --calibration FOLDER" == command(FILES, channels=1)
    assert base + "server" == command(FILES[:1])
    assert "" == command(FILES[-1:])
    unsaid = command(FILES, labels=None, stated=False, model_file="my m.keras")
    assert "'my m.keras'" in unsaid
    assert unsaid.endswith("--class-names FILE --preprocess mode=MODE")


def test_a_file_is_ready_when_an_app_can_use_it():
    """Pixels in, probabilities out, and names for them."""
    tensor = types.SimpleNamespace
    sides = {"inputs": [tensor(dtype="uint8")], "outputs": [tensor(name="logits")]}
    one = tensor(**sides)

    assert not advice.is_ready(one, ["a"])
    one.outputs[0].name = "probabilities"
    assert advice.is_ready(one, ["a"]) and not advice.is_ready(one, None)
    one.inputs[0].dtype = "float32"
    assert not advice.is_ready(one, ["a"])
