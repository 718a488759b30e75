"""`show` of a name tells what belongs to this name."""

import json

import keras
import pytest

from keras_vit.cli import model_facts, saved


@pytest.mark.parametrize(
    ("name", "side", "classes"),
    [
        ("ViT_B16.augreg_in21k_ft_in1k_384", 384, 1000),
        ("ViT_Ti16.augreg_in21k_224", 224, 21843),
        ("ViT-Ti/16", 224, 1000),
    ],
)
def test_size_and_classes_are_those_of_the_row(name, side, classes, run):
    """Not those of the family; and numbers are numbers."""
    code, out, _ = run("show", name, "--json")
    facts = json.loads(out)

    assert 0 == code
    assert ([side, side, 3], [classes]) == (facts["input"], facts["output"])
    assert facts["size"] == 4 * facts["parameters"]


def test_text_is_for_people(run):
    """Thousands are set apart, sizes have a unit, a published row its licence."""
    _, out, _ = run("show", "ViT_Ti16.augreg_in21k_ft_in1k_224")

    assert "5,717,416" in out and "21.8 MiB in float32" in out
    assert "224x224x3" in out and "Apache-2.0" in out


@pytest.mark.parametrize(
    "name",
    ["DeiT-Ti/16", "R+ViT-Ti/16", "M/14", "BiT_R50x1.goog_in21k_224"]
    + ["ViT_B16.mae_in1k_224", "ViT_S16.flexivit_in1k_240", "R26_S32"],
)
def test_the_tables_count_what_keras_builds(name):
    """No model is built to tell about a name; where it is, it says the same."""
    told = model_facts.counted(name)

    assert told == model_facts.describe(*model_facts.find(name))
    assert model_facts.counted("BiT-R50x2") is None


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.1, "labels": list("abcde")},
        {"distilled": True},
        {"classifier_activation": "softmax", "dtype": "mixed_float16"},
    ],
)
def test_a_saved_model_is_read_off_its_headers(options, tiny, tmp_path):
    """As Keras tells it after loading; seeds of dropout are no weights."""
    model, path = tiny(**options), str(tmp_path / "m.keras")
    model.save(path)

    assert saved.facts(path) == json.loads(json.dumps(model_facts.describe(model)))


def test_what_headers_do_not_tell_is_left_to_keras(tiny, tmp_path):
    """Another class, no range of pixels, no archive, no file."""
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()]).save(
        tmp_path / "a.keras"
    )
    keras.models.clone_model(tiny(depth=1)).save(tmp_path / "b.keras")
    (tmp_path / "c.keras").write_bytes(b"PK")

    for name in "abcd":
        assert saved.facts(tmp_path / f"{name}.keras") is None
