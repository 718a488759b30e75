"""tflite-micro and Vela: what is read off them, and, as slow tests, themselves."""

import sys

import numpy as np
import pytest

from keras_vit import export, progress
from keras_vit.errors import ExportMismatch
from keras_vit.export.formats.tflite import arena
from keras_vit.export.inspection import delegates
from keras_vit.export.processors import parts, session, tflite_micro, vela
from keras_vit.export.processors.targets import TARGETS
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.runtimes import PlainRuntime, open_file

PRINTED = """
CPU operators = 1 (33.3%)
NPU operators = 2 (66.7%)
   NPU: Conv2D = projection/MatMul1 (outputs [1, 16, 1, 64])
   CPU: BatchMatMul = energy (outputs [1, 16, 16])
   NPU: LUT = sigmoid (outputs [1, 1, 1, 256])
"""
TABLE = {f"{name}_memory_used": "1.5" for name in vela.MEMORIES}
TABLE |= {"nn_macs": "3708578", "inferences_per_second": "2201.6"}


def installed(name):
    """Skip where a tool is not installed."""
    if reason := parts.obstacle(TARGETS[name]):
        pytest.skip(f"{name}: {reason}")


def test_what_vela_says_is_read():
    """How many operators the NPU runs, which are left, and memory in bytes."""
    made = vela.read("ethos-u65-256", "5.2.0", PRINTED, TABLE)

    assert (3, 2) == (made.operators, made.on_npu)
    assert ("BatchMatMul energy",) == made.left
    assert 1536 == made.memory_bytes["sram"] and 3708578 == made.macs
    told = "2 of 3 operators on the NPU, left on the processor: 1 BatchMatMul"
    assert str(made).startswith(told)
    with pytest.raises(ChildProcessError, match="must list operators"):
        vela.read("ethos-u65-256", "5.2.0", "", TABLE)


def test_vela_is_shown_while_it_compiles(tmp_path, capsys, monkeypatch):
    """How long so far; and its end is waited for no longer than told."""
    monkeypatch.setattr(progress, "SELDOM", 0.0)
    status = progress.Status("ethos-u65-256: Vela compiles")
    words = [sys.executable, "-c", "print('CPU')"]

    assert (0, "CPU\n", "") == vela._run(words, tmp_path, "ethos-u65-256", 60, status)
    assert "ethos-u65-256: Vela compiles: 0 s so far" in capsys.readouterr().out
    words[-1] = "import time; time.sleep(60)"
    with pytest.raises(TimeoutError, match="within time_limit=0.1 s, got no end"):
        vela._run(words, tmp_path, "ethos-u65-256", 0.1, status)


def test_names_come_from_the_signature_of_the_first_graph(exported):
    """tflite-micro knows none; a signature of another graph is refused."""
    path = exported["int8"].path

    assert [["image"], ["logits"]] == tflite_micro.first_graph(path)
    with pytest.raises(ExportMismatch, match="first graph.*got 'other'"):
        tflite_micro.first_graph(path, "other")


def test_memory_that_was_not_measured_is_said(monkeypatch, exported):
    """Without the interpreter: a note for full_int8, and nothing in the file."""
    monkeypatch.setattr(tflite_micro, "arena_bytes", lambda file: None)
    path = exported["int8"].path

    assert ({}, (arena.MISSING,)) == arena.notes_of(path, RECIPES["full_int8"])
    assert ({}, ()) == arena.notes_of(path, RECIPES["dynamic_int8"])
    assert tflite_file.noted(path, tflite_file.ARENA) is None


def test_memory_stands_in_the_file(monkeypatch, model, photos, converted, tmp_path):
    """In the result, its JSON and the file's own metadata."""
    monkeypatch.setattr(tflite_micro, "arena_bytes", lambda file: 12345)

    result = export.to_tflite(
        model, tmp_path / "m.tflite", "full_int8", calibration=photos, verbose=0
    )

    assert 12345 == result.arena_bytes == result.to_dict()["arena_bytes"]
    assert b"12345" == tflite_file.noted(result.path, tflite_file.ARENA)
    assert 12345 == open_file(result).arena_bytes


def test_rules_stand_where_no_tool_is(monkeypatch):
    """Nothing is asked, and nothing changes."""
    monkeypatch.setattr(parts, "obstacle", lambda target: "needs vela")
    found = {"operators": 0.5, "macs": 0.5, "refused": ["x"]}

    assert found is delegates.tool_refusals("m.tflite", "npu", found)
    assert found is delegates.tool_refusals("m.tflite", "gpu", found)


@pytest.fixture(scope="module")
def integers(tmp_path_factory, tiny, photos):
    """A `full_int8` file with a pooled head, and its images."""
    path = tmp_path_factory.mktemp("integers") / "m.tflite"
    model = tiny(pooling="gap", norm_pooled=True)
    export.to_tflite(model, path, "full_int8", calibration=photos, verbose=0)
    return path


@pytest.mark.slow
def test_tflite_micro_gives_the_answers_of_the_reference_kernels(integers, photos):
    """To the bit, on every image; and it says how much memory it took."""
    installed("tflite-micro")
    runtime = open_file(integers)
    with session.open_session(TARGETS["tflite-micro"], runtime, 600, 0) as there:
        got = runtime.executed_by(there)(photos)
        facts = there.facts

    np.testing.assert_array_equal(PlainRuntime(integers)(photos)[0], got[0])
    assert runtime.arena_bytes == facts["arena_bytes"] > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ethos-u55", "ethos-u65", "ethos-u85"])
def test_no_operator_is_left_to_the_processor(name, integers):
    """Vela's own report, for each NPU."""
    installed(name)

    trial = session.compile_for(TARGETS[name], open_file(integers), 600, 0)

    assert trial.passed, trial.reasons
    assert trial.facts["operators"] == trial.facts["on_npu"] > 50


@pytest.mark.slow
def test_tools_say_what_they_refuse(exported):
    """A float file, by both: a verdict, not a crash."""
    for name in ("tflite-micro", "ethos-u65"):
        installed(name)
    path = exported["tflite"].path

    with pytest.raises(ChildProcessError, match="GELU"):
        tflite_micro.start(TARGETS["tflite-micro"], path, None, 600, 0)
    trial = session.compile_for(TARGETS["ethos-u65"], open_file(path), 600, 0)
    assert not trial.passed and "stay on the processor" in trial.reasons[0]
