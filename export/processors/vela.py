"""Vela, Arm's compiler for the NPUs Ethos-U: supported operators and memory.

It compiles a file and runs nothing.
"""

import collections
import csv
import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile
import time

from keras_vit.export.processors import places
from keras_vit.export.processors.child import BEAT, TIME_LIMIT
from keras_vit.export.processors.environment import make_environment, python_of
from keras_vit.export.processors.trial import ProcessorTrial
from keras_vit.progress import Status

NAME = "vela"
PACKAGES = ("ethos-u-vela>=5.2,<6",)
CHECK = ("-m", "ethosu.vela", "--version")
MEGABYTES = 20
KIB = 1024
# Lines of --show-cpu-operations: "   NPU: Conv2D = name (outputs [1, 16, 1, 64])".
PLACED = re.compile(r"^\s*(CPU|NPU): (\w+) = (.*?) \(outputs", re.MULTILINE)
MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


@dataclasses.dataclass(frozen=True)
class VelaReport:
    """Vela's report on one file: operators on NPU and CPU, memory.

    Attributes:
        accelerator: its configuration. version: of Vela.
        operators: after Vela's own rewrites. on_npu: those of them that the NPU runs.
        left: "KIND NAME" of each that stays on the processor.
        memory_bytes: {"sram", "dram", "on_chip_flash", "off_chip_flash"}: used.
        macs: multiplications. inferences_per_second: Vela's estimate, not measured.
    """

    accelerator: str
    version: str
    operators: int
    on_npu: int
    left: tuple
    memory_bytes: dict
    macs: int
    inferences_per_second: float

    @property
    def share(self):
        """Percent of operators that the NPU runs."""
        return 100.0 * self.on_npu / max(self.operators, 1)

    def __str__(self):
        text = f"{self.on_npu} of {self.operators} operators on the NPU"
        if not self.left:
            return text
        kinds = collections.Counter(name.split()[0] for name in self.left)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
        return f"{text}, left on the processor: {told}, first {self.left[0]}"


def install(verbose=1):
    """Install the compiler."""
    make_environment(NAME, PACKAGES, CHECK, verbose)


def compile_file(path, accelerator, time_limit=TIME_LIMIT, verbose=0):
    """Compile a file for an NPU.

    Args:
        path: `.tflite` file. accelerator: as Vela names it, such as "ethos-u65-256".
        time_limit: seconds. verbose: 1 shows how long it takes so far.

    Returns:
        `VelaReport`.

    Raises:
        ChildProcessError: when Vela refuses the file, with its last words.
        TimeoutError: when the time is over.
    """
    python = python_of(places.folder() / NAME)
    with tempfile.TemporaryDirectory(prefix="keras_vit.") as folder:
        command = [python, "-m", "ethosu.vela", "--accelerator-config", accelerator]
        command += ["--show-cpu-operations", "--output-dir", folder]
        command = [
            os.fspath(word) for word in (*command, pathlib.Path(path).absolute())
        ]
        status = Status(f"{accelerator}: Vela compiles", verbose)
        code, said, errors = _run(command, folder, accelerator, time_limit, status)
        tables = sorted(pathlib.Path(folder).glob("*_summary_*.csv"))
        if code or not tables:
            last = " ".join((errors.strip() or said).split())[-500:]
            raise ChildProcessError(
                f"{accelerator}: Vela must compile {os.path.basename(path)}, got: "
                f"{last}. Export it again, or leave this processor out."
            )
        with open(tables[0], newline="") as file:
            table = next(csv.DictReader(file))
    return read(accelerator, _version(python), said, table)


def _run(command, folder, accelerator, time_limit, status):
    """(exit code, standard output, standard error) of a command in a folder."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    text = {"text": True, "errors": "replace"}
    start = time.monotonic()
    with subprocess.Popen(command, cwd=folder, **pipes, **text) as process:
        try:
            while True:
                spent = time.monotonic() - start
                status.show(f"{spent:.0f} s so far")
                try:
                    said = process.communicate(timeout=min(BEAT, time_limit))
                    return process.returncode, *said
                except subprocess.TimeoutExpired as err:
                    if time.monotonic() - start < time_limit:
                        continue
                    raise TimeoutError(
                        f"{accelerator}: must be compiled within time_limit="
                        f"{time_limit:g} s, got no end. Raise time_limit "
                        "(--time-limit in the shell)."
                    ) from err
        finally:
            process.kill()
            status.close()


def read(accelerator, version, text, table):
    """Parse Vela's output and its table to a `VelaReport`.

    Args:
        accelerator, version: as there. text: its standard output.
        table: {column: text} of its summary.
    """
    placed = PLACED.findall(text)
    if not placed:
        raise ChildProcessError(
            f"{accelerator}: Vela must list operators, got none. Install another "
            "version: keras-vit processors --install vela."
        )
    left = [f"{kind} {name}" for where, kind, name in placed if where == "CPU"]
    return VelaReport(
        accelerator=accelerator,
        version=version,
        operators=len(placed),
        on_npu=len(placed) - len(left),
        left=tuple(left),
        memory_bytes={
            name: round(float(table[f"{name}_memory_used"]) * KIB) for name in MEMORIES
        },
        macs=int(float(table["nn_macs"])),
        inferences_per_second=float(table["inferences_per_second"]),
    )


def _version(python):
    words = [os.fspath(python), "-m", "ethosu.vela", "--version"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def compiled(target, runtime, time_limit=TIME_LIMIT, verbose=1):
    """Compile a file for a target: returns its `ProcessorTrial`.

    It passes when no operator is left on the processor.

    Args:
        target: `targets.Target`. runtime: `Runtime` of the file here.
        time_limit: seconds. verbose: 0 for silence.
    """
    start, trial = time.monotonic(), ProcessorTrial(target.name, target.kind)
    try:
        report = compile_file(runtime.path, target.cpu, time_limit, verbose)
    except ChildProcessError as err:
        trial.reasons = [str(err)]
    else:
        trial.facts, trial.told = dataclasses.asdict(report), str(report)
        if report.left:
            trial.reasons = [f"{len(report.left)} operators stay on the processor"]
    trial.seconds = time.monotonic() - start
    return trial
