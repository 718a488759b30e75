"""The table of processors goes on where it was stopped, and says what was not tried."""

import numpy as np
import pytest

from keras_vit.export.processors.trial import ProcessorTrial


@pytest.fixture(scope="module")
def processors(script):
    """benchmarks/processors.py as a module."""
    return script("processors")


def test_cells_are_kept(processors, tmp_path):
    """A cell that was put is there for the next run, by its very key."""
    path = tmp_path / "cells.json"
    processors.Cells(path).put({"x": 1}, "digits", "tflite", "ab", 60, "haswell")

    again = processors.Cells(path)

    assert {"x": 1} == again.get("digits", "tflite", "ab", 60, "haswell")
    assert None is again.get("digits", "tflite", "cd", 60, "haswell")


def test_a_cell_as_text(processors):
    """Images with the same class, largest difference, dB; or what there is instead."""
    trial = ProcessorTrial("haswell", "emulator", images=20, native_agreement=95.0)
    trial.native_difference, trial.native_db = 0.0123, 31.6
    failed = ProcessorTrial("haswell", "emulator", reasons=["the process ended"])

    assert "19/20, 0.01, 32 dB" == processors.shown(trial.to_dict())
    trial.native_db = np.inf
    assert processors.shown(trial.to_dict()).endswith("equal")
    assert "failed: the process ended" == processors.shown(failed.to_dict())
    assert "not tried" == processors.shown(None)
