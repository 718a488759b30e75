"""The way from a call to where it works stays short to read."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_fit_is_read_in_few_files():
    """14 files to follow `fit` by hand down to the training step, 22 once."""
    path = ROOT / "benchmarks" / "reading_path.py"
    spec = importlib.util.spec_from_file_location("reading_path", path)
    reading_path = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reading_path)
    room = reading_path.Room()

    between, seen = room.path(*reading_path.PATHS[0])
    assert "training.engine.train_step.TrainStep" in between
    assert len({room.known[name][0] for name in seen}) <= 14
