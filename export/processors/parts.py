"""Installable parts of emulated processors: QEMU, Debian, runtimes, compilers."""

import dataclasses
import importlib.metadata
import platform
import sys
import zipfile

from keras_vit import files
from keras_vit.export.processors import (
    debian,
    emulator,
    places,
    targets,
    tflite_micro,
    vela,
)
from keras_vit.export.processors.environment import run
from keras_vit.export.runtime.console import say
from keras_vit.progress import Status

INSTALL = "keras-vit processors --install"
SUITE, ARM_SUITE = "trixie", "bookworm"  # QEMU 10, and Python 3.11
EMULATORS = ("usr/bin/qemu-aarch64", "usr/bin/qemu-x86_64")
ARM_PACKAGES = (
    "libc6 libstdc++6 libgcc-s1 zlib1g python3.11-minimal libpython3.11-minimal "
    "libpython3.11-stdlib python3.11 libssl3 libffi8 libexpat1 libbz2-1.0 liblzma5 "
    "libsqlite3-0 libuuid1 libncursesw6 libtinfo6"
).split()
# Name on PyPI -> of the module; those that are installed here, in the same version.
RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "onnxruntime": "onnxruntime"}
BESIDE = ("numpy", "flatbuffers", "protobuf", "backports.strenum", "tqdm")
BESIDE = (*BESIDE, "typing-extensions", "packaging")
TAGS = ("2_28", "2_27", "2_17", "2014")
UNPACKED = 5e6  # bytes on disk for each MB to fetch
CHECK_LIMIT = 600.0  # seconds for a processor to say that it is there


@dataclasses.dataclass(frozen=True)
class InstallablePart:
    """One part that is installed as a whole: name, size, builder, state.

    Args:
        name: of it. what: one sentence. megabytes: to download, about.
        install: function of `verbose` that puts it in its place.
        wanted: function that gives what its note must say to be up to date.
        system: function that gives what this system lacks for it, in words, or "".
    """

    name: str
    what: str
    megabytes: int
    install: object
    wanted: object = dict
    system: object = str

    @property
    def state(self):
        """ "installed", "missing", or what is out of date, in words."""
        record = places.note_of(self.name)
        if record is None:
            return "missing"
        for key, value in self.wanted().items():
            if record.get(key) != value:
                return f"made for {record.get(key)}, this is {value}"
        return "installed"


def runtimes():
    """Installed runtimes, name on PyPI -> version."""
    versions = {}
    for name in RUNTIMES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def unsupported():
    """Why this system cannot emulate, and what to do; "" where it can."""
    if platform.system() != "Linux" or platform.machine() != targets.X86:
        here = f"{platform.system()} on {platform.machine()}"
        return (
            f"QEMU's user-mode emulator is set up on x86-64 Linux, this is {here}. Use "
            "such a machine, or a container: docker run -it --platform linux/amd64 "
            "python:3.11-bookworm"
        )
    lacking = debian.missing()
    if lacking:
        return (
            f"needs {', '.join(lacking)} of Debian or Ubuntu, which this system lacks. "
            "Use a container: docker run -it python:3.11-bookworm, and in it pip "
            f"install keras-vit-edge[onnxruntime] and {INSTALL}"
        )
    return ""


def install_qemu(verbose=1):
    """Install QEMU's emulators into their folder."""

    def build(folder):
        archive = debian.DebianSuite(
            "qemu", places.downloads("qemu"), SUITE, "amd64", verbose
        )
        (package,) = archive.download(["qemu-user"])
        say("qemu: unpacking", verbose)
        debian.unpack(package, folder, EMULATORS)
        said = [run([folder / name, "--version"], "qemu") for name in EMULATORS]
        return {"version": said[0].splitlines()[0]}

    places.place("qemu", build, {"suite": SUITE})


def install_arm64(verbose=1):
    """Install a small Debian for ARM: a C library and Python."""

    def build(folder):
        archive = debian.DebianSuite(
            "arm64", places.downloads("arm64"), ARM_SUITE, "arm64", verbose
        )
        packages, progress = archive.download(ARM_PACKAGES), Status("arm64", verbose)
        for count, package in enumerate(packages, 1):
            debian.unpack(package, folder)
            progress.show(f"{count} of {len(packages)} packages unpacked")
        progress.close()
        tree = ["-L", folder, folder / emulator.PYTHON, "--version"]
        say("arm64: starting Python", verbose)
        return {"version": run([emulator.qemu("aarch64"), *tree], "arm64").strip()}

    places.place("arm64", build, {"suite": ARM_SUITE})


def install_arm64_runtimes(verbose=1):
    """Install the ARM runtimes in the versions of this Python's."""
    versions = runtimes()

    def build(folder):
        wheels = places.downloads("arm64-runtimes")
        asked = [f"{name}=={version}" for name, version in versions.items()]
        asked, progress = [*asked, *BESIDE], Status("arm64-runtimes", verbose)
        for count, package in enumerate(asked, 1):
            run(_pip(wheels, package), "arm64-runtimes")
            progress.show(f"{package}, {count} of {len(asked)} packages")
        progress.close()
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as file:
                file.extractall(folder)
        say("arm64-runtimes: starting them", verbose)
        target, words = targets.TARGETS["cortex-a53"], ["--check"]
        words += [RUNTIMES[name] for name in versions]
        child = emulator.start(target, words, CHECK_LIMIT, verbose, site=folder)
        child.close()
        return {"runs": child.first["runtime"], "numpy": child.first["numpy"]}

    places.place("arm64-runtimes", build, {"runtimes": versions})


def _pip(folder, package):
    """Build the pip command that downloads a wheel for ARM."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", "3.11", "-d", folder]
    for tag in TAGS:
        name = tag if tag.isdigit() else f"_{tag}"
        command += ["--platform", f"manylinux{name}_aarch64"]
    return [*command, "--quiet", package]


PARTS = {
    part.name: part
    for part in (
        InstallablePart(
            "qemu", "QEMU 10, from Debian 13", 81, install_qemu, dict, unsupported
        ),
        InstallablePart(
            "arm64",
            "Debian 12 and Python 3.11 for ARM",
            20,
            install_arm64,
            dict,
            unsupported,
        ),
        InstallablePart(
            "arm64-runtimes",
            "LiteRT and onnxruntime for ARM, as installed here",
            53,
            install_arm64_runtimes,
            lambda: {"runtimes": runtimes()},
            unsupported,
        ),
        *(
            InstallablePart(
                tool.NAME,
                what,
                tool.MEGABYTES,
                tool.install,
                lambda tool=tool: {"packages": list(tool.PACKAGES)},
            )
            for tool, what in (
                (tflite_micro, "tflite-micro's interpreter, from PyPI"),
                (vela, "Vela, Arm's compiler for Ethos-U, from PyPI"),
            )
        ),
    )
}


def install(names=(), verbose=1):
    """Install what processors need; complete parts stay as they are.

    Args:
        names: of processors; none for all that this system can have.
        verbose: 0 for silence.

    Returns:
        list of the names of parts that were installed now.

    Raises:
        OSError: where this system cannot, or when a step fails. What has arrived is
            kept, and the next try goes on from there.
        ValueError: for a name that is not in the table.
    """
    asked = targets.chosen(names) if names else targets.TARGETS.values()
    needed = dict.fromkeys(part for target in asked for part in target.parts)
    unknown = [name for name in needed if name not in PARTS]
    if names and unknown:
        raise OSError(
            f"{unknown[0]}: this version cannot install it. Leave it out, or see "
            "docs/processors.md."
        )
    needed = [PARTS[name] for name in needed if name in PARTS]
    todo = [part for part in needed if part.state != "installed"]
    todo = _possible(todo, names, verbose)
    places.folder().mkdir(parents=True, exist_ok=True)
    files.check_space(
        places.folder() / "all", UNPACKED * sum(p.megabytes for p in todo)
    )
    for part in todo:
        say(f"{part.name}: {part.what}, about {part.megabytes} MB to fetch", verbose)
        part.install(verbose)
        say(f"{part.name}: installed in {places.folder() / part.name}", verbose)
    return [part.name for part in todo]


def _possible(todo, names, verbose):
    """The parts that this system supports; refuses others asked for by name.

    Raises:
        OSError: with the way out, when one of these, or all, cannot be had.
    """
    reasons = {part.name: part.system() for part in todo}
    possible = [part for part in todo if not reasons[part.name]]
    for name, reason in reasons.items():
        if reason and (names or not possible):
            raise OSError(f"{name}: {reason}")
        if reason:
            say(f"{name}: left out: {reason}", verbose)
    return possible


def obstacle(target):
    """Why a processor cannot be used, with the remedy; "" when it can.

    Args:
        target: `targets.Target`.
    """
    if unknown := [name for name in target.parts if name not in PARTS]:
        return f"needs {', '.join(unknown)}, which this version cannot install"
    parts = [PARTS[name] for name in target.parts]
    lacking = [(part, part.state) for part in parts if part.state != "installed"]
    if not lacking:
        return ""
    if reason := next(filter(None, (part.system() for part, _ in lacking)), ""):
        return reason
    told = ", ".join(f"{part.name} ({state})" for part, state in lacking)
    return f"needs {told}. Install it with {INSTALL} {target.name}"
