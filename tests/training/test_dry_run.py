import json
import xml.etree.ElementTree

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import cli, image_folder, training
from keras_vit.training.data import array_source
from keras_vit.training.engine import step_memory
from keras_vit.training.logging import plot_schedule

TINY = (
    "model={'patch_size': 8, 'width': 16, 'depth': 1, 'heads': 2, 'mlp_dim': 32}",
    "steps=1000",
    "rates={'head': 2.0}",
)


def test_the_command_says_what_would_be_done_and_does_nothing(tmp_path, capsys):
    """Numbers, a curve in the terminal, a picture, no run folder."""
    picture, folder = tmp_path / "lr.svg", tmp_path / "run"
    command = ["train", "--recipe", "digits", "--output", str(folder)]
    command += ["--dry-run", str(picture)]
    command += [word for text in TINY for word in ("--set", text)]
    assert 0 == cli.main(command)
    out = capsys.readouterr().out
    xml.etree.ElementTree.parse(picture)

    assert "steps    1,000 = 50 epochs of 20, 64 images each, 1 device" in out
    assert "1,257 train" in out and "parameters" in out and "total" in out
    assert " 1,000 steps" in out and "█" in out
    assert not folder.exists()
    assert 2 == cli.main(command)  # the picture is there already
    assert "must not exist yet" in capsys.readouterr().err


def test_a_run_needs_a_folder(capsys):
    """Wrong usage, found before anything slow."""
    assert 2 == cli.main(["train", "--recipe", "digits"])
    assert "--output: needed" in capsys.readouterr().err
    assert 2 == cli.main(["train", "--recipe", "digits", "--dry-run", "p.png"])
    assert "must end in .svg, got p.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "refuse"),
        (("--set", "on_bad_image=stop"), "stop"),
        (("--on-bad-image", "stop"), "stop"),
    ],
)
def test_the_recipe_decides_about_bad_images(words, expected, monkeypatch):
    """Unless an option does."""
    seen = {}

    def fit(**options):
        seen.update(options)
        raise ValueError("enough seen")

    monkeypatch.setattr(training, "fit", fit)
    assert 2 == cli.main(["train", "--recipe", "digits", "--output", "x", *words])
    assert expected == seen["recipe"].on_bad_image and "on_bad_image" not in seen


def test_a_recipe_is_shown_whole(capsys):
    """Its page and all of its fields, for people and programs."""
    assert 0 == cli.main(["recipes", "deit"])
    out = capsys.readouterr().out
    assert 0 == cli.main(["recipes", "deit", "--json"])
    fields = json.loads(capsys.readouterr().out)

    assert "Published: Ti 72.2" in out and "epoch_cosine" in out
    assert 300 == fields["epochs"]


def test_a_dry_run_leaves_a_given_model_as_it_is():
    """What it would freeze is frozen in a copy."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, name="head")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.build()
    data = training.load_data("digits", image_size=8, batch_size=32)
    plan = training.dry_run("finetune", model, data, epochs=2, freeze=("head/bias",))

    assert (2, 39, 78) == (plan.recipe.epochs, plan.steps_per_epoch, plan.steps)
    assert plan.parameters == plan.trainable_parameters + 10
    assert all(v.trainable for v in model.weights)
    assert 4 * plan.parameters == plan.memory["weights"]
    sizes = ("weights", "optimizer", "step")
    assert plan.memory["total"] == sum(plan.memory[name] for name in sizes)
    assert "78 = 2 epochs of 39" in str(plan)


def test_memory_is_the_largest_sum_of_living_buffers():
    """Of a chain, two neighbours at most; of values needed later, all of them."""
    spec = tf.TensorSpec((1000,), tf.float32)

    @tf.function
    def chain(x):
        for _ in range(5):
            x = tf.sin(x)
        return x

    @tf.function
    def kept(x):
        parts = [x]
        for _ in range(5):
            parts.append(tf.sin(parts[-1]))
        return tf.add_n(parts[1:])

    assert 8_000 == step_memory.peak(chain.get_concrete_function(spec).graph)
    assert 24_000 == step_memory.peak(kept.get_concrete_function(spec).graph)


def test_a_curve_is_drawn_as_wide_as_it_is_told():
    """Highest value and number of steps beside it."""
    lines = plot_schedule.text(np.linspace(0, 3e-4, 50), columns=10, rows=3).split("\n")

    assert 4 == len(lines)
    assert "3e-04 |" == lines[0][:7]
    assert "█" == lines[2][-1] and "50 steps" in lines[3]
    assert "<polyline" in plot_schedule.svg([0.0, 1.0], "a < b")


@pytest.mark.parametrize("rates", [[0.0], [0.0, 0.0], [1.0]])
def test_flat_curves_are_drawn_too(rates):
    """Without dividing by nothing."""
    assert "steps" in plot_schedule.text(rates)
    xml.etree.ElementTree.fromstring(plot_schedule.svg(rates, "t"))


def test_data_are_read_hashed_and_listed_once(
    monkeypatch, write_folder, tiny, tmp_path
):
    """Also where a stored model must know the classes before the data are opened."""
    tiny(classes=2, depth=1).save(tmp_path / "m.keras")
    source = write_folder(tmp_path / "photos")
    arrays = np.zeros((8, 32, 32, 3), "uint8"), np.arange(8) % 2
    calls = []

    def counted(module, name):
        real = getattr(module, name)

        def count(*given, **options):
            calls.append(name)
            return real(*given, **options)

        monkeypatch.setattr(module, name, count)

    counted(image_folder, "scan")
    counted(array_source, "_name")
    for data, expected in ((f"folder:{source}", ["scan"]), (arrays, ["_name"])):
        calls.clear()
        training.dry_run(
            "finetune", tmp_path / "m.keras", data, image_size=None, batch_size=2
        )
        assert expected == calls
