"""The command, called as the shell would call it, but in this process."""

import json
import os
import signal

import keras
import pytest

import keras_vit
from keras_vit import cli


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A small model on disk that knows the ten digits."""
    path = tmp_path_factory.mktemp("cli") / "digits.keras"
    tiny(classes=10, labels=[str(k) for k in range(10)]).save(path)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A small PNG."""
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    keras.utils.save_img(path, keras.ops.ones((40, 50, 3)) * 128.0, scale=False)
    return path


def test_list_finds_models_by_pattern(run):
    """Models are listed with their sizes; case does not matter."""
    code, out, _ = run("list", "vit-b*", "--json")

    models = json.loads(out)["models"]
    assert 0 == code
    assert ["ViT-B/8", "ViT-B/16", "ViT-B/32"] == [m["name"] for m in models]
    assert 86_567_656 == models[1]["parameters"]


def test_list_without_a_match_says_so(run):
    """A pattern that matches nothing fails with a proposal."""
    code, _, err = run("list", "resnet*")

    assert 2 == code
    assert "'resnet*'" in err and "'*B*16*'" in err


def test_show_a_name_builds_no_arrays(run):
    """A named model is described from shapes alone."""
    code, out, _ = run("show", "ViT-H/14")

    assert 0 == code
    assert "632,045,800" in out and "224x224x3" in out


def test_show_a_saved_model(run, saved):
    """A .keras file is described with its labels."""
    code, out, _ = run("show", saved, "--layers")

    assert 0 == code
    assert "0, 1, 2" in out and "block_1" in out


def test_show_an_unknown_name_proposes_one(run):
    """One line, no traceback, exit code 2."""
    code, out, err = run("show", "B16")

    assert (2, "") == (code, out)
    assert "Did you mean 'B/16'" in err and "Traceback" not in err


def test_predict_names_what_it_sees(run, saved, picture):
    """Best names first, with probabilities that sum to 1 at most."""
    code, out, _ = run("predict", saved, picture, "--top", 3, "--json")

    (names,) = json.loads(out).values()
    assert 0 == code and 3 == len(names)
    scores = [n["probability"] for n in names]
    assert scores == sorted(scores, reverse=True) and sum(scores) <= 1


def test_predict_takes_probabilities_as_they_are(run, picture, tmp_path):
    """A model that ends in a softmax gets no second one."""
    sizes = {"patch_size": 8, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 16}
    model = keras_vit.VisionTransformer(
        image_size=16, classes=2, classifier_activation="softmax", **sizes
    )
    model.get_layer("head").bias.assign([4.0, 0.0])
    model.save(tmp_path / "model.keras")
    _, out, _ = run("predict", tmp_path / "model.keras", picture, "--json")

    (names,) = json.loads(out).values()
    assert names[0]["probability"] > 0.95


def test_a_plain_keras_model_has_no_notes(run, tmp_path):
    """It is shown all the same; to be evaluated, somebody must say its range."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.save(tmp_path / "plain.keras")
    code, out, _ = run("show", tmp_path / "plain.keras")
    assert 0 == code and "preprocessing  unknown" in out
    words = ("--data", "digits", "--preprocess", "mode=none")
    code, _, err = run("evaluate", tmp_path / "plain.keras", *words[:2])
    assert 2 == code and "does not say which pixels" in err and "--preprocess" in err
    code, out, _ = run("evaluate", tmp_path / "plain.keras", *words)
    assert 0 == code and "360 images" in out


def test_predict_refuses_what_is_no_image(run, saved, tmp_path):
    """A file that is no image is named."""
    path = tmp_path / "no.jpg"
    path.write_text("not an image")
    code, _, err = run("predict", saved, path)

    assert 1 == code and str(path) in err


def test_evaluate_counts_right_answers(run, saved):
    """Top-1 and top-5 over all test images."""
    code, out, _ = run("evaluate", saved, "--data", "digits", "--json")

    scores = json.loads(out)
    assert 0 == code and 360 == scores["count"]
    assert 0 <= scores["top1"] <= scores["top5"] <= 1


def test_images_can_be_prepared_in_another_way(run, saved, picture):
    """--preprocess changes one field of what the model says."""
    plain = json.loads(run("predict", saved, picture, "--json")[1])
    other = json.loads(
        run("predict", saved, picture, "--json", "--preprocess", "mode=none")[1]
    )

    assert plain != other
    code, _, err = run("predict", saved, picture, "--preprocess", "zoom=2")
    assert 2 == code and "got zoom" in err and "interpolation" in err


def test_classes_by_order(run, saved, tmp_path):
    """Folders whose names the model does not know are refused, or taken in order."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pixels = keras.ops.ones((9, 9, 3))
        keras.utils.save_img(tmp_path / name / "a.png", pixels)
    words = ("evaluate", saved, "--data", f"folder:{tmp_path}", "--split", "all")
    code, _, err = run(*words)

    assert 1 == code and "got one, two" in err and "--by-order" in err
    code, out, _ = run(*words, "--by-order", "--json")
    assert 0 == code and 2 == json.loads(out)["count"]


def test_export_one_file(run, saved, tmp_path):
    """The suffix chooses the format; the answer says what was written."""
    path = tmp_path / "m.onnx"
    code, out, err = run("export", saved, path, "--json")

    assert 0 == code, err
    assert path.stat().st_size == json.loads(out)["size_bytes"]


def test_export_a_file_for_an_app(run, saved, tmp_path):
    """Pixels in, the best classes out, by the names of a file."""
    names, path = tmp_path / "names.txt", tmp_path / "app.onnx"
    names.write_text("\n".join("abcdefghij"))
    words = ("--preprocessing", "embed", "--softmax", "--top", "3")
    words += ("--input-size", "48,64")
    code, _, err = run("export", saved, path, *words, "--class-names", names)

    assert 0 == code, err
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    assert "tensor(uint8)" == session.get_inputs()[0].type
    assert [1, 48, 64, 3] == session.get_inputs()[0].shape
    assert 3 == session.get_outputs()[0].shape[-1]
    assert "a" in str(session.get_modelmeta().custom_metadata_map)
    code, _, err = run("export", saved, tmp_path / "all", "--data", "digits", *words)
    assert 2 == code and "goes with one file" in err


def test_export_does_not_overwrite(run, saved, tmp_path):
    """An existing file is left alone unless asked."""
    path = tmp_path / "m.onnx"
    path.write_text("mine")
    code, _, err = run("export", saved, path)

    assert 2 == code and "or pass --overwrite." in err
    assert "mine" == path.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "no.keras", "--data", "digits"), "no.keras"),
        (("train", "--recipe", "digit", "--output", "x"), "Did you mean 'digits'"),
        (("train", "--output", "x", "--set", "epochs"), "FIELD=VALUE, got 'epochs'"),
        (
            ("train", "--output", "x", "--recipe", "digits", "--set", "epoch=3"),
            "epochs",
        ),
    ],
)
def test_wrong_input_is_one_line(run, words, message, tmp_path, monkeypatch):
    """Exit code 2, one line that has the value and the way out, nothing written."""
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*words)

    assert 2 == code
    assert message in err and "Traceback" not in err
    assert [] == list(tmp_path.iterdir())


def test_wrong_usage_exits_with_two(run):
    """An unknown command or option is wrong usage."""
    assert 2 == run("frobnicate")[0]
    assert 2 == run("list", "--colour")[0]
    assert 2 == run("train", "--worker", 2, "--output", "x")[0]  # passed on otherwise


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "show",
        "recipes",
        "train",
        "evaluate",
        "predict",
        "export",
        "verify",
        "benchmark",
        "demo",
    ],
)
def test_every_command_has_help(run, command):
    """--help works for each and shows its options."""
    code, out, _ = run(command, "--help")

    assert 0 == code and "--json" in out


def test_interruption_has_its_own_code(run, monkeypatch):
    """Ctrl-C ends with 130 and no traceback."""

    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_vit.cli.models.run_list", stop)
    code, _, err = run("list")

    assert 130 == code and "interrupted" in err


def test_sigterm_leaves_nothing_behind(run, saved, tmp_path, monkeypatch):
    """What ends a process on a server cleans up, and is a default again afterwards."""
    seen = []

    def end(*_, **__):
        seen.extend(path.name for path in tmp_path.iterdir())
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("onnx.checker.check_model", end)
    code, _, err = run("export", saved, tmp_path / "m.onnx")

    assert (143, "") == (code, err)
    assert 1 == len(seen) and seen[0].startswith(".m.onnx.")
    assert [] == list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_as_many_classes_as_outputs(run, tiny, tmp_path, picture):
    """A model without names is not scored on another number of classes."""
    tiny(classes=7).save(tmp_path / "seven.keras")
    code, _, err = run("evaluate", tmp_path / "seven.keras", "--data", "digits")

    assert 1 == code and "has outputs, 7, got 10" in err


def test_a_reader_that_has_enough(monkeypatch, capsys):
    """`keras-vit list 'ViT-Ti*' | head -1` ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)

        assert 0 == cli.main(["list", "ViT-Ti*"])
        pipe.write("what is left when Python closes it\n")
    assert "" == capsys.readouterr().err
