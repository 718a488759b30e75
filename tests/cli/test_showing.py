"""`show` of a name tells what belongs to this name."""

import json

import pytest


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
