"""What is installed, what is not, and that it gets there whole or not at all."""

import json
import re
import shutil
import subprocess
from unittest import mock

import pytest

from keras_vit.export.processors import (
    chosen,
    debian,
    environment,
    install,
    make_environment,
    parts,
    places,
)
from keras_vit.export.processors.listing import survey


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def left():
    """Names in the folder of parts, without locks."""
    return [p.name for p in places.folder().iterdir() if p.suffix != ".lock"]


def test_a_part_is_there_whole_or_not_at_all():
    """A build that fails leaves nothing; one that works can be replaced."""

    def fail(folder):
        (folder / "half").write_text("x")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        places.place("p", fail, {})
    assert None is places.note_of("p") and [] == left()

    places.place("p", lambda folder: {"version": "2"}, {"suite": "s"})
    assert {"suite": "s", "version": "2"} == places.note_of("p")
    with pytest.raises(OSError, match="no network"):
        places.place("p", fail, {})
    assert ["p"] == left() and "2" == places.note_of("p")["version"]


def test_a_damaged_note_is_a_missing_part():
    """Nobody trusts a folder that does not say what it is."""
    places.place("qemu", lambda folder: None, {})
    (places.folder() / "qemu" / places.NOTE).write_text("{")

    assert "missing" == parts.PARTS["qemu"].state


def test_other_versions_of_the_runtimes_are_told():
    """What was installed for an older runtime does not prove the newer one."""
    old = {"ai-edge-litert": "1.0"}
    places.place("arm64-runtimes", lambda folder: None, {"runtimes": old})

    state = parts.PARTS["arm64-runtimes"].state

    assert state.startswith(f"made for {old}, this is ") and "ai-edge" in state


def test_what_is_missing_is_told_with_the_command(monkeypatch):
    """The command names the processor; a part that nobody can install is said so."""
    monkeypatch.setattr(parts, "unsupported", str)
    monkeypatch.setitem(
        parts.PARTS, "qemu", parts.InstallablePart("qemu", "", 1, None, dict, str)
    )

    told = {row["name"]: row["missing"] for row in survey()["processors"]}

    assert told["cortex-a53"].startswith("needs qemu (missing), arm64 (missing), ")
    assert told["haswell"].endswith("keras-vit processors --install haswell")
    monkeypatch.setattr(parts, "PARTS", {})
    (target,) = chosen("haswell")
    assert "this version cannot install" in parts.obstacle(target)
    with pytest.raises(OSError, match="qemu: this version cannot install it"):
        install(["haswell"])


@pytest.mark.parametrize(
    "system, machine, programs, told",
    [
        ("Darwin", "arm64", [], "this is Darwin on arm64.*docker run"),
        ("Windows", "AMD64", [], "this is Windows on AMD64.*docker run"),
        ("Linux", "aarch64", [], "this is Linux on aarch64.*docker run"),
        ("Linux", "x86_64", ["apt-get"], "needs apt-get of Debian.*docker run"),
        ("Linux", "x86_64", [], "^$"),
    ],
)
def test_elsewhere_it_says_what_to_do(system, machine, programs, told, monkeypatch):
    """Systems that are no Debian on x86-64 get another way."""
    monkeypatch.setattr(parts.platform, "system", lambda: system)
    monkeypatch.setattr(parts.platform, "machine", lambda: machine)
    monkeypatch.setattr(parts.debian, "missing", lambda: programs)

    assert re.search(told, parts.unsupported())
    if "docker" in told:
        with pytest.raises(OSError, match="^qemu: .*docker run"):
            install(["haswell"])
        assert not places.folder().exists()


def test_what_this_system_cannot_have_is_left_out(monkeypatch, capsys):
    """Unless it was asked for by its name; the rest is installed."""
    made = []
    pair = (
        parts.InstallablePart("qemu", "", 1, made.append, dict, lambda: "no Linux"),
        parts.InstallablePart("vela", "", 1, made.append),
    )
    monkeypatch.setattr(parts, "PARTS", {part.name: part for part in pair})

    assert ["vela"] == install() and [1] == made
    assert "qemu: left out: no Linux" in capsys.readouterr().out
    with pytest.raises(OSError, match="qemu: no Linux"):
        install(["ethos-u65", "haswell"])


def test_downloads_are_kept_until_the_part_is_there(monkeypatch):
    """A break in the middle goes on where it was; the end leaves no downloads."""
    fetched = []

    def run(words, name, **options):
        if len(fetched) == 2 and "stop" not in fetched:
            fetched.append("stop")
            raise OSError("connection lost")
        fetched.append(words[-1])
        wheels = places.downloads("arm64-runtimes")
        with parts.zipfile.ZipFile(wheels / f"{len(fetched)}.whl", "w") as file:
            file.writestr(f"m{len(fetched)}.py", "")
        return ""

    child = mock.Mock(first={"runtime": "r 1", "numpy": "2"})
    monkeypatch.setattr(parts, "run", run)
    monkeypatch.setattr(parts.emulator, "start", lambda *_, **__: child)

    with pytest.raises(OSError, match="connection lost"):
        parts.install_arm64_runtimes(verbose=0)
    assert 2 == len(list(places.downloads("arm64-runtimes").iterdir()))
    assert ["downloads"] == left()

    parts.install_arm64_runtimes(verbose=0)
    assert "installed" == parts.PARTS["arm64-runtimes"].state
    assert not (places.folder() / "downloads/arm64-runtimes").exists()


def test_an_environment_is_made_whole(monkeypatch):
    """Packages that cannot be had leave nothing; the check decides."""
    made = []

    def run(words, name, **options):
        made.append([str(word) for word in words])
        if "bad" in words:
            raise OSError("bad: no such package")
        return ""

    monkeypatch.setattr(environment, "run", run)

    with pytest.raises(OSError, match="no such package"):
        make_environment("tool", ["bad"], ["-c", "import bad"], verbose=0)
    assert [] == left()
    python = make_environment("tool", ["good==1"], ["-c", "import good"], verbose=0)
    assert places.folder() / "tool" == python.parents[1]
    assert ["-c", "import good"] == made[-1][1:]
    assert {"packages": ["good==1"]} == places.note_of("tool")


def test_a_program_that_fails_is_told_in_its_last_words():
    """Its exit code, and that what has arrived is kept; a missing one by its name."""
    with pytest.raises(OSError, match="x: sh -c .* ended with 3: no space.*kept"):
        environment.run(["sh", "-c", "echo no space >&2; exit 3"], "x")
    with pytest.raises(OSError, match="needs the program 'no-such-program'"):
        environment.run(["no-such-program"], "x")


@pytest.mark.skipif(bool(debian.missing()), reason="needs apt and dpkg of Debian")
def test_apt_is_given_folders_of_its_own(tmp_path, monkeypatch):
    """The settings of the system without its hooks and folders; one source."""
    said = 'Acquire::Retries "3";\nDPkg::Post-Invoke:: "rm -rf /";\nDir::State "x";\n'
    monkeypatch.setattr(debian, "run", lambda *_, **__: said)
    monkeypatch.setattr(debian.DebianSuite, "_keyring", lambda self: "/keys.gpg")

    archive = debian.DebianSuite("p", tmp_path / "d", "trixie", "arm64", verbose=0)

    settings = archive._config.read_text()
    assert "Retries" in settings and "Invoke" not in settings
    assert f'Dir::State::lists "{tmp_path}/d/apt/lists";' in settings
    assert 'Dir::State "x"' not in settings
    assert "[arch=arm64 signed-by=/keys.gpg]" in archive._sources.read_text()


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_a_package_is_unpacked_without_installing(tmp_path):
    """All of it, or the files that are named; damage is told."""
    tree = tmp_path / "tree"
    for name in ("DEBIAN/control", "usr/bin/a", "usr/bin/b"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    control = "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: d\n")
    package = tmp_path / "p.deb"
    subprocess.run(["dpkg-deb", "-b", tree, package], check=True, capture_output=True)

    debian.unpack(package, tmp_path / "one", ["usr/bin/b"])
    debian.unpack(package, tmp_path / "all")

    found = {f: {p.name for p in (tmp_path / f).rglob("?")} for f in ("one", "all")}
    assert {"one": {"b"}, "all": {"a", "b"}} == found
    package.write_bytes(b"damage")
    with pytest.raises(OSError, match="p.deb: must be a package of Debian"):
        debian.unpack(package, tmp_path / "bad")


def test_the_survey_is_plain_values():
    """For --json; this machine's processor stands in it."""
    found = json.loads(json.dumps(survey()))

    assert found["native"]["name"] and found["native"]["architecture"]
    assert str(places.folder()) == found["folder"]
