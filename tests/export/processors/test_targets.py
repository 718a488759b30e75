"""The table of processors, and what is said of a name that is not in it."""

import pytest

from keras_vit.export.processors import TARGETS, chosen
from keras_vit.export.processors.targets import COMPILER, EMULATOR, INTERPRETER


def test_every_row_is_complete():
    """Each says what it stands for, what it takes and what it needs."""
    for name, row in TARGETS.items():
        assert name == row.name
        assert row.kind in (EMULATOR, INTERPRETER, COMPILER)
        assert set(row.formats) <= {"tflite", "onnx"} and row.formats
        assert row.parts and row.stands_for.endswith(".")


def test_names_are_taken_once_and_in_order():
    """One name, a list, or none; twice is once."""
    assert ["haswell"] == [row.name for row in chosen("haswell")]
    assert ["haswell", "cortex-a53"] == [
        row.name for row in chosen(["haswell", "cortex-a53", "haswell"])
    ]
    assert [] == chosen(None) == chosen([]) == chosen("native")


@pytest.mark.parametrize("name, meant", [("cortexa76", "cortex-a76"), ("z80", None)])
def test_an_unknown_name_is_told_with_the_nearest(name, meant):
    """The error names what exists."""
    with pytest.raises(ValueError, match=f"no processor '{name}'.*Known: ") as caught:
        chosen(["haswell", name])

    assert (f"Did you mean {meant!r}" in str(caught.value)) == bool(meant)
