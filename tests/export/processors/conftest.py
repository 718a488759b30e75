"""A laboratory whose emulators are shell scripts, so that no QEMU is needed."""

import json
import stat

import pytest

from keras_vit.export.processors import emulator, parts, places

SAME = 'shift 2\nexec "$@"'  # leaves out `-cpu NAME`: runs on this machine


@pytest.fixture
def laboratory(tmp_path, monkeypatch):
    """A function that sets up what `haswell` needs, with a script as its emulator."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(emulator.platform, "machine", lambda: "x86_64")

    def set_up(script=SAME):
        path = emulator.qemu("x86_64")
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (places.folder() / "qemu" / places.NOTE).write_text(json.dumps({}))

    return set_up


@pytest.fixture(scope="session")
def installed():
    """A function that skips a test unless a processor can be tried here."""

    def need(target):
        if reason := parts.obstacle(target):
            pytest.skip(f"{target.name}: {reason}")

    return need
