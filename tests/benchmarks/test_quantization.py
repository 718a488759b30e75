"""The table of recipes measures the rows that were named, and no others."""

import pytest


@pytest.fixture(scope="module")
def quantization(script):
    """benchmarks/quantization.py as a module."""
    return script("quantization")


def test_rows_by_their_first_letters(quantization):
    """With the float32 file of the same format; all of them when none is named."""
    assert ["float32", "static_int8"] == quantization.chosen(["static"], plain=False)
    assert ["ONNX float32", "ONNX float16"] == quantization.chosen(["ONNX float16"])
    assert list(quantization.ROWS) == quantization.chosen([])


def test_a_row_that_is_none_ends_the_run(quantization):
    """A slip of the finger does not measure everything for hours."""
    with pytest.raises(SystemExit, match="--rows: must be .*ONNX.*got 'statik'"):
        quantization.chosen(["float16", "statik"])
