"""The commands on files that learning without labels writes."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit

SIZES = {"image_size": 16, "patch_size": 8, "width": 16, "depth": 1, "heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A masked autoencoder, an image GPT and a few pictures of two classes."""
    root = tmp_path_factory.mktemp("unlabelled")
    keras_vit.MaskedAutoencoder(**SIZES, **DECODER).save(root / "mae.keras")
    sizes = {"image_size": 8, "width": 8, "depth": 1, "heads": 2, "colors": 8}
    keras_vit.ImageGPT(**sizes).save(root / "gpt.keras")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / "pets" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 255, (16, 16, 3), "uint8")
            Image.fromarray(pixels).save(root / "pets" / name / f"{number}.png")
    return root


@pytest.mark.parametrize("name", ["mae", "gpt"])
def test_show_says_what_it_learns(run, folder, name):
    """There is no output to show, but a loss."""
    code, out, err = run("show", folder / f"{name}.keras", "--layers")

    assert (0, "") == (code, err)
    assert "a loss of its own" in out and "parameters" in out


@pytest.mark.parametrize("name", ["mae", "gpt"])
def test_what_needs_classes_refuses_one_without(run, folder, name):
    """One line with what the file is, and both ways on."""
    path = folder / f"{name}.keras"
    code, out, err = run("predict", path, folder / "pets" / "cat" / "0.png")

    assert (2, "") == (code, out)
    assert "must be a classifier, got a" in err and "without labels" in err
    assert "--probe linear,knn" in err and f"train --model {path}" in err


def test_evaluate_tells_the_loss(run, folder):
    """That of every image, in batches that do not divide them; bits of an image GPT."""
    data = ("--data", f"folder:{folder / 'pets'}", "--split", "all")
    code, out, err = run("evaluate", folder / "gpt.keras", *data, "--json")
    assert 0 == code, err
    found = json.loads(out)
    assert 8 == found["count"]  # its head is zero: every colour alike
    assert np.log(8) == pytest.approx(found["nats_per_pixel"], rel=1e-6)
    assert 3.0 == pytest.approx(found["bits_per_pixel"], rel=1e-6)
    words = ("evaluate", folder / "mae.keras", *data, "--batch-size", 5)
    code, out, err = run(*words)
    assert 0 == code and "8 images" in out and "\nloss " in out, err
    code, _, err = run(*words, "--per-class")
    assert 2 == code and "Leave out --confusion" in err and "--probe" in err


def test_what_compares_views_has_no_loss_of_single_images(run, folder, tmp_path):
    """SimCLR is to be probed."""
    keras_vit.SimCLR(**SIZES, projection_dim=8).save(tmp_path / "s.keras")
    data = ("--data", f"folder:{folder / 'pets'}")
    code, _, err = run("evaluate", tmp_path / "s.keras", *data)

    assert 2 == code and "got a SimCLR" in err and "--probe" in err


def test_features_name_nothing(run, folder, tiny, tmp_path):
    """A model without a head is no classifier either."""
    path = tmp_path / "features.keras"
    tiny(include_top=False, pooling="gap").save(path)
    code, out, err = run("predict", path, folder / "pets" / "cat" / "0.png")

    assert (2, "") == (code, out)
    assert "head for classes, got features" in err and "train --model" in err


def test_inspect_looks_into_the_encoder(run, folder, tmp_path):
    """A page of a masked autoencoder; an image GPT has no patches to look at."""
    picture = folder / "pets" / "cat" / "0.png"
    words = (picture, "--output", tmp_path / "a.html", "--json")
    code, out, err = run("inspect", folder / "mae.keras", *words)
    assert (0, "") == (code, err)
    assert (1, 2) == np.shape(json.loads(out)["distance_px"])
    code, _, err = run("inspect", folder / "gpt.keras", *words, "--overwrite")
    assert 2 == code and "plot_completion" in err and "--probe depth" in err


def test_pre_training_goes_on_by_command(run, folder, tmp_path):
    """The file is trained as it is; labels and heads do not come in."""
    words = ("--model", folder / "mae.keras", "--data", f"folder:{folder / 'pets'}")
    run_at = tmp_path / "run"
    more = ("--epochs", 1, "--batch-size", 2, "--output", run_at)
    still = ("learning_rate=0.0", "augment=none", "warmup=0.0")
    still = [word for field in still for word in ("--set", field)]
    code, out, err = run("train", "--recipe", "mae_pretrain", *words, *more, *still)
    assert 0 == code, err
    assert "learns from the images alone, without labels." in out
    before, after = (
        keras.saving.load_model(path).trainable_weights
        for path in (folder / "mae.keras", run_at / "best.keras")
    )
    assert len(before) == len(after)
    assert all(map(np.array_equal, before, after))


def test_a_classifier_cannot_learn_without_labels(run, folder, tiny, tmp_path):
    """The message has the file and the ways out; a name is refused as well."""
    tiny(classes=2).save(tmp_path / "m.keras")
    data = ("--data", f"folder:{folder / 'pets'}", "--output", tmp_path / "run")
    for name in (tmp_path / "m.keras", "ViT-Ti/16"):
        words = ("train", "--recipe", "mae_pretrain", "--model", name, *data)
        code, _, err = run(*words)

        assert 2 == code and f"'{name}', which has no loss of its own" in err
        assert "take --recipe finetune." in err and not (tmp_path / "run").exists()
