"""The notebooks run in small form, and show what they printed when they ran in full."""

import ast
import importlib.util
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = ("fine_tune_and_deploy", "image_gpt", "look_inside", "masked_autoencoder")
LARGEST = 1_500_000  # bytes


@pytest.fixture(scope="module")
def runner():
    """docs/run_notebooks.py, imported."""
    path = ROOT / "docs" / "run_notebooks.py"
    spec = importlib.util.spec_from_file_location("run_notebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_cell(text, name, scope):
    """Execute a cell; gives the value of its last line as a kernel would."""
    tree = ast.parse(text)
    shown = tree.body and isinstance(tree.body[-1], ast.Expr)
    last = ast.Expression(tree.body.pop().value) if shown else None
    exec(compile(tree, name, "exec"), scope)
    return eval(compile(last, name, "eval"), scope) if shown else None


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebooks_run_in_small_form(name, runner, tmp_path, monkeypatch):
    """Every cell, in this process, on a tiny model and a few pictures."""
    monkeypatch.chdir(tmp_path)
    runner.make_small_world(tmp_path)
    small = runner.with_values(
        runner.read(FOLDER / f"{name}.ipynb"), runner.SMALL[name]
    )
    scope = {"__name__": "notebook"}
    pictures = 0
    for cell in runner.code_cells(small):
        shown = run_cell(runner.source(cell), name, scope)
        if hasattr(shown, "_repr_png_"):
            assert shown._repr_png_()
            pictures += 1

    full = runner.code_cells(runner.read(FOLDER / f"{name}.ipynb"))
    kept = [
        kind for cell in full for o in cell["outputs"] for kind in o.get("data", ())
    ]
    assert pictures == sum(kind in runner.PICTURES for kind in kept) > 0


def test_every_notebook_is_known(runner):
    """No file without a small form, and none that is forgotten here."""
    assert set(NAMES) == {p.stem for p in runner.notebooks()} == set(runner.SMALL)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_one_run(name, runner):
    """Run from top to bottom, without an error, messages of libraries or warnings."""
    cells = runner.code_cells(runner.read(FOLDER / f"{name}.ipynb"))
    outputs = [output for cell in cells for output in cell["outputs"]]

    expected = list(range(1, len(cells) + 1))
    assert expected == [cell["execution_count"] for cell in cells]
    assert {"stream", "execute_result"} == {o["output_type"] for o in outputs}
    assert {"stdout"} == {o["name"] for o in outputs if o["output_type"] == "stream"}
    for cell in cells:  # a value is that of the cell as it stands
        tree = ast.parse(runner.source(cell))
        ends_in_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
        kinds = {o["output_type"] for o in cell["outputs"]}
        assert ends_in_value or "execute_result" not in kinds


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_nothing_of_the_machine(name, runner):
    """Small, without paths, addresses, times or names of users."""
    path = FOLDER / f"{name}.ipynb"
    notebook = runner.read(path)
    texts = []
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        texts.append(runner.source(cell))
        for output in cell.get("outputs", ()):
            texts += output.get("text", [])
            texts += output.get("data", {}).get("text/plain", [])
    text = "".join(texts)

    assert path.stat().st_size < LARGEST
    assert {"kernelspec", "language_info"} == set(notebook["metadata"])
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users|mnt)\b", text)
    assert not re.search(
        r"0x[0-9a-f]{6}|\d\d:\d\d:\d\d.*\d{4}|\b20\d\d-\d\d-\d\d", text
    )


def test_a_cell_with_parameters_is_needed(runner):
    """Without one, a small form would be the full one."""
    with pytest.raises(ValueError, match="tag 'parameters', got none"):
        runner.with_values({"cells": [{"metadata": {}}]}, {"EPOCHS": 1})


def test_outputs_are_tidied(runner):
    """Noise and paths go, streams that were cut in two are joined, others stay."""
    noise = "I0000 00:00:17.3 1 port.cc:153] oneDNN\n"
    outputs = [
        {"output_type": "stream", "name": "stderr", "text": noise},
        {"output_type": "stream", "name": "stdout", "text": "/a/b/run/best.keras\n"},
        {"output_type": "stream", "name": "stdout", "text": "done\n"},
        {"output_type": "execute_result", "data": {"text/plain": "1"}},
    ]

    found = runner.tidied(json.loads(json.dumps(outputs)), pathlib.Path("/a/b"))
    assert ["run/best.keras\ndone\n"] == [o["text"] for o in found if "text" in o]
    assert outputs[3] == found[-1] and 2 == len(found)


@pytest.mark.slow
def test_a_kernel_runs_them(runner, tmp_path):
    """The way of the command, with a kernel; its outputs are there."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    runner.make_small_world(tmp_path)
    text = runner.execute(FOLDER / "look_inside.ipynb", tmp_path, {"COUNT": 6})
    cells = runner.code_cells(json.loads(text))

    assert "24,069 parameters" in "".join(cells[2]["outputs"][0]["text"])
    assert sys.executable not in text and str(tmp_path) not in text
