"""Latency, memory and size of exported files, measured in interleaved runs."""

import dataclasses
import os
import pathlib
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_vit.export.io.io_spec import SERVE, size_of
from keras_vit.export.runtime import provenance
from keras_vit.export.runtime.processes import Worker, kind_of, litert_benchmark
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.export.runtime.tflite_file import audit
from keras_vit.progress import Bar
from keras_vit.types import FilePath

WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Timing:
    """Latency and memory of one file at one number of threads.

    Args:
        ratio: median over the rounds of this file's time by the reference's in the
            same round; 0.5 is twice as fast. Of processor time at one thread, where
            it is what an idle machine's wall shows, else of time on the wall.
        median_ms, p95_ms: time on the wall for one image, as a user waits.
        processor_ms: median of the processor time, summed over all threads.
        load_ms: to start the runtime and load the file.
        litert_ms: median that `litert-benchmark` tells, if asked.
    """

    ratio: float
    median_ms: float
    p95_ms: float
    processor_ms: float
    load_ms: float
    litert_ms: float | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """Size and timings of one file of a benchmark.

    Args:
        path, format, size_bytes: of the file.
        size_ratio, memory_ratio: to the reference.
        peak_bytes: largest memory of a process that does nothing but load and run it.
        base_bytes: of the same process before it loaded the file: the runtime itself.
        timings: threads -> `Timing`.
    """

    path: pathlib.Path
    format: str
    size_bytes: int
    size_ratio: float
    peak_bytes: int
    base_bytes: int
    memory_ratio: float
    timings: dict


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The result of `benchmark`: one row per file, the machine and the versions.

    Attributes:
        rows: list of `Measured`, as the files were given.
        reference: path that ratios refer to.
        rounds: how often each file ran per number of threads.
        machine, versions: what it was measured on.
    """

    rows: list
    reference: pathlib.Path
    rounds: int
    machine: dict
    versions: dict

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            **dataclasses.asdict(self),
            "reference": str(self.reference),
            "rows": [
                {**dataclasses.asdict(row), "path": str(row.path)} for row in self.rows
            ],
        }

    def __str__(self):
        threads = list(self.rows[0].timings)
        head = ["file", *(f"time, {n} thr" for n in threads), "memory", "size"]
        head += [f"ms, {n} thr (p95)" for n in threads] + ["peak MB", "file MB"]
        lines = [head]
        for row in self.rows:
            found = [row.timings[n] for n in threads]
            line = [row.path.name, *(f"{t.ratio:.2f}x" for t in found)]
            line += [f"{row.memory_ratio:.2f}x", f"{row.size_ratio:.2f}x"]
            line += [f"{t.median_ms:.1f} ({t.p95_ms:.1f})" for t in found]
            line += [f"{row.peak_bytes / 1e6:.0f}", f"{row.size_bytes / 1e6:.2f}"]
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join(
            "  ".join(
                cell.rjust(w) if k else cell.ljust(w)
                for k, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )
        return (
            f"{text}\nratios to {self.reference.name}, {self.rounds} rounds in turns, "
            f"{self.machine['processor']}, {self.machine['cores']} cores"
        )


def benchmark(
    paths: FilePath | Iterable[FilePath],
    images: Any = None,
    *,
    threads: Iterable[int] | None = None,
    rounds: int = 30,
    cross_check: bool = False,
    signature: str | None = None,
    verbose: int = 1,
) -> Benchmark:
    """Measure latency, memory and size of exported files, in one run.

    Each file gets a process of its own that imports its runtime and nothing else, so
    that threads and memory are its own; all run one image in turns, round by round,
    so that a busy machine slows every file alike. Ratios are medians of the ratios
    within a round. `litert-benchmark`, which comes with LiteRT, cannot take turns,
    knows one format, and says nothing of memory: it serves as a cross-check.

    Args:
        paths: a file or folder, or a list of them: `.tflite`, `.onnx` and `.keras`
            files and SavedModels. A folder stands for the files in it.
        images: one image, as the files take it, (1, H, W, C); of several the first
            counts. None for noise, which takes as long; encoded, 256 px of it.
        threads: numbers of processor threads; None for 1 and all cores.
        rounds: how often each file runs per number of threads.
        cross_check: whether to let `litert-benchmark` time TFLite files too, after
            the others; it calls the first signature.
        signature: which one of a `.tflite` file or SavedModel with several; None for
            `serving_default`, or else the first. Other formats have none.
        verbose: 0 for silence.

    Returns:
        `Benchmark`. Ratios are to the float32 `.tflite` file where there is one,
        else to the first.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a format that is not known, a damaged file, or images that a
            file does not take.
    """
    paths = _files(paths)
    threads = _threads(threads)
    _check_count("rounds", rounds)
    names = [_signature(path, signature) for path in paths]
    first = _reference(paths)
    image = None if images is None else np.asarray(images)[:1]
    bar = Bar(rounds * len(threads) * len(paths), "run", verbose)
    pairs = list(zip(paths, names, strict=True))
    found = {n: _interleaved(pairs, image, n, rounds, bar) for n in threads}
    size = size_of(paths[first])
    rows = [_row(k, path, first, size, found) for k, path in enumerate(paths)]
    if cross_check:
        rows = [_cross_checked(row, rounds) for row in rows]
    return Benchmark(
        rows, paths[first], rounds, provenance.machine(), provenance.versions()
    )


def _files(paths):
    """Resolve paths to files, in order, with the files of folders."""
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files = []
    for path in map(pathlib.Path, map(os.fspath, listed)):
        if path.is_dir() and not (path / "saved_model.pb").is_file():
            inside = sorted(p for p in path.iterdir() if kind_of(p))
            files += inside or [path]
        else:
            files.append(path)
    if not files:
        raise ValueError("paths: must name at least one file, got none.")
    for path in files:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder. Export first.")
        if kind_of(path) is None:
            raise ValueError(
                f"{path}: must be a .tflite, .onnx or .keras file, a SavedModel, or a "
                "folder with some. Check the path."
            )
    return files


def _signature(path, asked):
    """Choose the signature to call; SERVE where the file has none.

    Raises:
        ValueError: when it has not the one that is asked for.
    """
    if kind_of(path) == "tflite":
        names = audit(path).signatures
    elif kind_of(path) == "savedmodel" and asked is not None:
        names = open_file(path).signatures
    else:
        return SERVE
    if asked is None:
        return SERVE if SERVE in names or not names else names[0]
    if asked not in names:
        raise ValueError(
            f"signature: must be one of {', '.join(names)}, those of {path}, got "
            f"{asked!r}. Leave it out for the first."
        )
    return asked


def _threads(threads):
    cores = os.cpu_count() or 1
    threads = (1, cores) if threads is None else threads
    threads = (threads,) if isinstance(threads, int) else tuple(threads)
    for count in threads or (0,):
        _check_count("threads", count)
    return tuple(dict.fromkeys(threads))


def _check_count(name, value):
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: must be a whole number above 0, got {value!r}.")


def _reference(paths):
    """Index of the float32 `.tflite` file that ratios refer to, or 0."""
    for index, path in enumerate(paths):
        if kind_of(path) == "tflite" and audit(path).precision == "float32":
            return index
    return 0


def _interleaved(pairs, image, threads, rounds, bar):
    """[(load_ms, base_bytes, runs)] per file, all files alive at the same time."""
    workers = []
    try:
        for path, signature in pairs:
            workers.append(Worker(path, threads, image, signature))
        for _ in range(WARM_UP):
            for worker in workers:
                worker.run()
        runs = [[] for _ in workers]
        for _ in range(rounds):
            for worker, runs_of_file in zip(workers, runs, strict=True):
                runs_of_file.append(worker.run())
                bar.add(1)
    finally:
        for worker in workers:
            worker.close()
    pairs = zip(workers, runs, strict=True)
    return [
        (worker.load_ms, worker.base_bytes, runs_of_file)
        for worker, runs_of_file in pairs
    ]


def _row(index, path, first, first_size, timings):
    """Measured figures of one file. timings: as `_interleaved`, per threads."""
    per_threads = next(iter(timings.values()))
    peaks = [runs[-1]["peak_bytes"] for _, _, runs in per_threads]
    return Measured(
        path=path,
        format=kind_of(path),
        size_bytes=size_of(path),
        size_ratio=size_of(path) / first_size,
        peak_bytes=peaks[index],
        base_bytes=per_threads[index][1],
        memory_ratio=peaks[index] / peaks[first],
        timings={
            n: _timing(n, rows[index], rows[first]) for n, rows in timings.items()
        },
    )


def _timing(threads, measured, reference):
    """`Timing` of one file. measured, reference: (load_ms, base_bytes, runs)."""
    wall = [run["wall_ms"] for run in measured[2]]
    key = "processor_ms" if threads == 1 else "wall_ms"
    pairs = zip(measured[2], reference[2], strict=True)
    ratios = [a[key] / max(b[key], 1e-6) for a, b in pairs]
    return Timing(
        ratio=statistics.median(ratios),
        median_ms=statistics.median(wall),
        p95_ms=float(np.percentile(wall, 95)),
        processor_ms=statistics.median(run["processor_ms"] for run in measured[2]),
        load_ms=measured[0],
    )


def _cross_checked(row, rounds):
    """Add the latency that `litert-benchmark` reports for a `.tflite` file."""
    if row.format != "tflite":
        return row
    timings = {
        n: dataclasses.replace(timing, litert_ms=litert_benchmark(row.path, n, rounds))
        for n, timing in row.timings.items()
    }
    return dataclasses.replace(row, timings=timings)
