"""Long work shows itself in one way, on a terminal and in a log."""

import ast
import pathlib
import sys

import pytest

from keras_vit import progress

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by so many seconds at each look."""
    now = [0.0]

    def step(seconds):
        def look():
            now[0] += seconds
            return now[0]

        monkeypatch.setattr(progress.time, "monotonic", look)

    return step


def test_a_log_gets_a_plain_line_every_tenth(clock, capsys):
    """Ten lines of a thousand images, and nothing that moves a cursor."""
    clock(1.0)
    bar = progress.Bar(1000, "image")
    for _ in range(1000):
        bar.add()
    lines = capsys.readouterr().out.splitlines()

    assert 10 == len(lines)
    assert lines[0].startswith(" 10%  100 of 1,000 images") and "left" in lines[0]
    assert lines[-1].startswith("100%  1,000 of 1,000 images") and "in all" in lines[-1]
    assert not any(ord(letter) < 32 or ord(letter) > 126 for letter in "".join(lines))


def test_unequal_parts_are_counted_by_their_costs(clock):
    """Nothing is guessed before a part is done; then costs say what is left."""
    clock(60.0)
    parts = progress.Parts([1, 9, 20], "file")

    assert "file 1 of 3" == parts.begin()
    assert "file 2 of 3, 1:00 so far, about 29:00 left" == parts.begin()
    assert "file 3 of 3, 2:00 so far, about 4:00 left" == parts.begin()


def test_short_work_is_one_line(clock, capsys):
    """Lines are a second apart; the last one always comes, and once."""
    clock(0.001)
    bar = progress.Bar(10, "batch")
    for _ in range(10):
        bar.add()
    bar.finish()

    (line,) = capsys.readouterr().out.splitlines()
    assert "10 of 10 batches" in line


def test_a_terminal_has_one_line_that_is_renewed(clock, capsys, monkeypatch):
    """Each state takes the place of the one before; the last one stays."""
    clock(1.0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    bar = progress.Bar(4, "layer")
    for _ in range(4):
        bar.add()
    said = capsys.readouterr().out

    assert (4, 1) == (said.count("\r"), said.count("\n"))
    assert " 25% ━━╌╌╌╌╌╌╌╌ 1 of 4 layers" in said


def test_without_a_known_end_what_is_done_is_counted(clock, capsys):
    """At 1, 2, 4, 8, and at the end."""
    clock(1.0)
    bar = progress.Bar(None, "batch")
    for _ in range(9):
        bar.add()
    bar.finish()
    counts = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]

    assert ["1 batch", *(f"{n} batches" for n in (2, 4, 8, 9))] == counts


def test_silence_and_bytes(clock, capsys):
    """verbose=0 says nothing; bytes are shown as MB, earlier ones not in the pace."""
    clock(1.0)
    progress.Bar(3, "image", verbose=0).update(3)
    bar = progress.Bar(4_000_000, "byte", first=2_000_000)
    bar.update(3_000_000)

    (line,) = capsys.readouterr().out.splitlines()
    assert "3.0 of 4.0 MB" in line
    assert line.endswith("0:04 left")  # four looks at the clock for the half


def test_what_has_no_numbers_is_told_ever_more_seldom(clock, capsys):
    """A log of a thousand seconds has seven lines."""
    clock(1.0)
    status = progress.Status("vela")
    for second in range(1000):
        status.show(f"{second} s")
    status.close()

    lines = capsys.readouterr().out.splitlines()
    assert 7 == len(lines) and lines[0].startswith("vela: 1")


def test_nobody_draws_a_bar_of_his_own():
    """Keras' bar prints control characters into pipes: it is used nowhere."""
    wrong = []
    for folder in ("keras_vit", "training", "export", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {
                node.attr
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Attribute)
            }
            wrong += [str(path)] * ("Progbar" in names)

    assert [] == wrong
