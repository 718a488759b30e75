"""The table of recipes measures the rows that were named, and no others."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    """benchmarks/quantization.py as a module."""
    path = ROOT / "benchmarks" / "quantization.py"
    spec = importlib.util.spec_from_file_location("quantization_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_by_their_first_letters(script):
    """With the float32 file of the same format; all of them when none is named."""
    assert ["float32", "static_int8"] == script.chosen(["static"], plain=False)
    assert ["ONNX float32", "ONNX float16"] == script.chosen(["ONNX float16"])
    assert list(script.ROWS) == script.chosen([])


def test_a_row_that_is_none_ends_the_run(script):
    """A slip of the finger does not measure everything for hours."""
    with pytest.raises(SystemExit, match="--rows: must be .*ONNX.*got 'statik'"):
        script.chosen(["float16", "statik"])
