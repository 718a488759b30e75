"""What the command says before anything heavy is imported, and its exit codes."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS

import keras_vit
from keras_vit import _needs, cli, errors
from keras_vit.cli.messages import Help, in_options, options_of
from keras_vit.cli.training import recipe_lines
from keras_vit.training import recipes

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPTIONS = {"epochs": "--epochs", "overwrite": "--overwrite", "output_dir": "--output"}
# As the command starts where there is no TensorFlow; that backend gets it afterwards.
START = """
import json, os, resource, sys
sys.argv = ["keras-vit"]
sys.modules["tensorflow"] = None
import keras_vit, keras_vit.cli
keras_vit.cli.parser().format_help()
keras_vit.cli.main(["list", "vit-b*", "--json"])
keras_vit.cli.main(["recipes"])
light = not {"keras", "numpy"} & set(sys.modules)
used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
codes = [keras_vit.cli.main(["show", name]) for name in os.environ["SHOWN"].split()]
light = light and codes == [0] * len(codes) and "keras" not in sys.modules
names = dir(keras_vit)
try:
    from keras_vit import training
except ImportError as err:
    missing = str(err)
if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    del sys.modules["tensorflow"]
import keras
before = set(sys.modules)  # Keras loads what it finds
model = keras_vit.VisionTransformer(
    image_size=16, patch_size=8, width=16, depth=1, heads=2, mlp_dim=16, classes=3
)
shape = list(model(keras_vit.preprocess_input([[[[0] * 3] * 16] * 16])).shape)
from keras.src.saving.object_registration import GLOBAL_CUSTOM_OBJECTS as known
heavy = ["tensorflow_datasets", "tf2onnx", "onnx", "onnxruntime", "matplotlib", "PIL"]
heavy += ["sklearn", "keras_cv", "ai_edge_litert", "ai_edge_quantizer"]
heavy = {*heavy, "keras_vit.training"} & (set(sys.modules) - before)
print(json.dumps([light, sorted(heavy), used, names, sorted(known), shape, missing]))
"""


@pytest.fixture(scope="module")
def started(tiny, tmp_path_factory):
    """What a fresh process of the command says about itself."""
    folder = tmp_path_factory.mktemp("shown")
    shown = [folder / "m.safetensors", folder / "m.npz"]
    for path, layout in zip(shown, ("timm", "google_npz"), strict=True):
        keras_vit.save_checkpoint(tiny(patch_size=8, classes=3), path, layout)
    tiny(patch_size=8).save(folder / "m.keras")
    shown.append(folder / "m.keras")
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SHOWN": " ".join(map(str, [*shown, "ViT-B/16"])),
    }
    done = subprocess.run(
        [sys.executable, "-c", START], env=env, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_starts_without_keras(started):
    """Help, lists and headers need no Keras and no TensorFlow; lists half a second."""
    light, _, seconds, names, *_ = started

    assert light and seconds < 0.5
    assert set(keras_vit.__all__) <= set(names)


def test_building_a_model_loads_nothing_optional(started):
    """Keras, its backend, and what Keras finds by itself."""
    assert [] == started[1]


def test_recipes_are_listed_as_they_are():
    """Read off their files; each with the first line of its page."""
    assert recipe_lines() == [
        [name, recipes.describe(name).split("\n")[0]] for name in recipes.list_recipes()
    ]


def test_the_command_loads_what_a_program_loads(started):
    """Each class that a saved model may hold is known once models are read."""
    own = {name for name in GLOBAL_CUSTOM_OBJECTS if name.startswith("keras_vit>")}
    rooms = ("keras_vit.layers", "keras_vit.models", "keras_vit.preprocess")
    needed = {n for n in own if GLOBAL_CUSTOM_OBJECTS[n].__module__.startswith(rooms)}

    assert 20 < len(needed) and needed <= set(started[4])


def test_what_needs_tensorflow_says_so(started):
    """And how to get it; models run without, on JAX and torch."""
    *_, shape, missing = started

    assert [1, 3] == shape
    assert "needs TensorFlow" in missing and "pip install tensorflow" in missing


def test_a_backend_that_is_missing_is_named_with_the_ways_out(monkeypatch, capsys):
    """Not Keras' bare "No module named"; other libraries are as they say."""
    monkeypatch.setattr(_needs, "has", lambda name: name == "jax")
    missing = ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    assert 1 == cli._refuse(missing, "show", cli.parser())
    said = capsys.readouterr().err
    assert "set KERAS_BACKEND=jax or `pip install tensorflow`." in said
    assert _needs.other_backend("h5py") is None


def test_version(run):
    """`--version` alone is enough."""
    assert (0, f"keras-vit {keras_vit.__version__}\n") == run("--version")[:2]


def test_help_says_what_is_meant_and_what_the_default_is():
    """No option without a line, and no value without what stands for it."""
    (found,) = (a for a in cli.parser()._actions if isinstance(a.choices, dict))
    silent = []
    for name, command in found.choices.items():
        for action in command._actions:
            valued = action.option_strings and action.nargs != 0 and not action.required
            text = Help("keras-vit")._expand_help(action) if action.help else ""
            if not text or (valued and "default" not in text):
                silent.append(f"{name} {action.dest}: {text}")

    assert 10 < len(found.choices) and [] == silent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Choose another, or pass overwrite=True.",
            "Choose another, or pass --overwrite.",
        ),
        ("Pass epochs=3, for example.", "Pass --epochs 3, for example."),
        ("Pass lora=8.", "Pass --set lora=8."),
        ("output_dir: must hold", "--output: must hold"),
        ("recipe: has no field 'lr'.", "recipe: has no field 'lr'."),
        ("Use heads=f(2).", "Use heads=f(2)."),
        ("got keras_vit.create(x=1)", "got keras_vit.create(x=1)"),
    ],
)
def test_messages_speak_of_options(text, expected):
    """What is an argument in Python is an option of the command."""
    assert expected == in_options(text, OPTIONS, fields=True)


def test_options_are_those_of_the_command():
    """A name in Python belongs to the option that sets it."""
    found = options_of(cli.parser(), "train")

    assert ("--overwrite", "--output") == (found["overwrite"], found["output_dir"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("x"), 2),
        (TypeError("no field"), 2),
        (ValueError("out of range"), 2),
        (errors.DataError("images are broken"), 1),
        (errors.ExportMismatch("it is another model"), 1),
        (FloatingPointError("no number"), 1),
        (PermissionError("not here"), 1),
        (ImportError("not installed"), 1),
    ],
)
def test_exit_codes(run, monkeypatch, error, code):
    """2 for what cannot be as it was asked for, 1 for what was begun and failed."""

    def fail(args):
        raise error

    monkeypatch.setattr("keras_vit.cli.models.run_list", fail)

    assert code == run("list")[0]


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "m.keras", "a.png", "--top", "0"),
        ("export", "m.keras", "m.onnx", "--top", "-1"),
        ("evaluate", "m.keras", "--data", "digits", "--batch-size", "many"),
    ],
)
def test_counts_are_above_zero(run, words):
    """The rule and the value are told."""
    code, _, err = run(*words)

    assert 2 == code and f"must be a whole number above 0, got '{words[-1]}'" in err


@pytest.mark.parametrize("command", ["show", "predict", "evaluate", "export"])
def test_a_missing_file_is_found_at_once(run, command, monkeypatch):
    """Before anything is imported or read."""
    monkeypatch.setattr("keras_vit.weights.load", None)
    more = {
        "predict": ["a.png"],
        "evaluate": ["--data", "digits"],
        "export": ["m.onnx"],
    }
    code, _, err = run(command, "lost.safetensors", *more.get(command, ()))

    assert 2 == code and "lost.safetensors: must be an existing file" in err


def test_words_are_completed(monkeypatch):
    """A shell that asks gets the names of models and checkpoints."""
    pytest.importorskip(
        "argcomplete", reason="needs argcomplete, which is not installed"
    )
    import argcomplete

    finder = argcomplete.CompletionFinder(cli.parser())
    found = finder._get_completions(["keras-vit", "show"], "ViT_B8.", "", None)

    assert any(name.startswith("ViT_B8.") for name in found)


def test_a_finished_run_has_its_own_recipe(run, tmp_path):
    """More epochs go with nothing that would change it; there must be such a run."""
    words = ("train", "--output", tmp_path, "--more-epochs", "2")
    code, _, err = run(*words, "--set", "lr=1", "--overwrite")
    assert 2 == code and "got lr, overwrite too" in err
    code, _, err = run(*words)

    assert 2 == code and "must be the folder of a finished run" in err


def test_random_weights_are_asked_for(run, tmp_path):
    """A recipe that goes on wants more than a name; the plan says it first."""
    words = ("train", "--model", "mu/16", "--data", "digits", "--dry-run")
    code, _, err = run(*words, "--output", tmp_path / "run")

    assert 2 == code and "RANDOM" in err and "pass --random-weights" in err
    code, out, _ = run(*words, "--random-weights", "--image-size", "32")
    assert 0 == code and out.startswith("weights: RANDOM, mu/16 is built anew")
    assert not (tmp_path / "run").exists()


def test_a_run_is_a_model(run, tiny, tmp_path):
    """Its folder stands for its best model wherever a model is asked for."""
    tiny(depth=1, labels=list("abcde")).save(tmp_path / "best.keras")
    found = keras_vit.weights.load(tmp_path)

    assert list("abcde") == found.labels
    code, out, _ = run("show", tmp_path)
    assert 0 == code and "a, b, c, d, e" in out


def test_a_run_without_a_model_says_so(run, tmp_path):
    """Where the first epoch is not over."""
    (tmp_path / "recipe.json").write_text("{}")
    code, _, err = run("evaluate", tmp_path, "--data", "digits")

    assert 2 == code and "its first epoch is not over" in err
