"""`keras-vit processors`: what can be tried from here, and what is missing."""

import json

import pytest

from keras_vit.cli import main
from keras_vit.export.processors import parts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def test_the_list_says_what_is_missing(capsys):
    """This machine's processor, every row, and the way to get what is missing."""
    assert 0 == main(["processors"])

    said = capsys.readouterr().out
    assert said.startswith("native: ") and "cortex-a76    missing" in said
    assert "--install" in said or "docker run" in said


def test_the_list_for_programs(capsys):
    """One JSON object, nothing installed."""
    assert 0 == main(["processors", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert [] == found["installed"]
    assert not any(row["ready"] for row in found["processors"])


def test_what_is_to_be_installed_is_checked(capsys):
    """A name that is none is told at once."""
    assert 2 == main(["processors", "--install", "cortex-a53,cortex-a75"])

    assert "Did you mean 'cortex-a76'?" in capsys.readouterr().err


def test_installing_names_and_all(monkeypatch, capsys):
    """Words and commas both separate names; what is there is not made again."""
    made = []
    for name in parts.PARTS:
        part = parts.InstallablePart(
            name, "", 1, lambda _, name=name: made.append(name)
        )
        monkeypatch.setitem(parts.PARTS, name, part)

    assert 0 == main(["processors", "--json", "--install", "haswell", "nehalem"])
    assert ["qemu"] == json.loads(capsys.readouterr().out)["installed"] == made
    assert 0 == main(["processors", "--install", "native"])
    assert "nothing to install" in capsys.readouterr().out
    assert 0 == main(["processors", "--install"])
    assert ["qemu", *parts.PARTS] == made


@pytest.mark.parametrize(
    "words, told",
    [
        (["--on", "haswel"], "Did you mean 'haswell'"),
        (["--on", "haswell"], "--install haswell"),
    ],
)
def test_verify_checks_processors_first(words, told, tmp_path, monkeypatch, capsys):
    """Before the model is loaded."""
    monkeypatch.setitem(parts.PARTS, "qemu", parts.InstallablePart("qemu", "", 1, None))
    path = tmp_path / "m.tflite"
    path.write_bytes(b"")
    given = ["verify", "no.keras", str(path), "--images", str(tmp_path)]

    assert main([*given, *words]) == (2 if words[1] == "haswel" else 1)
    assert told in capsys.readouterr().err
