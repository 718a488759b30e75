"""What files answer on processors that this machine has not: the table of the docs.

python benchmarks/processors.py --digits out/demo/training/best.keras
python benchmarks/processors.py --digits ... \
    --large vit_ti16.keras --images folder --calibration folder

Writes every TFLite and ONNX recipe of the digits model, and float32, dynamic_int8,
static_int8 and full_int8 of the large one, runs them here and on each processor, and
prints how many images get the same class as here, the largest difference of a logit,
and the ratio of signal to noise. Emulation is slow (a ViT-Ti/16 takes seconds an
image), so every finished cell is kept in `cells.json`: start again after a stop and it
goes on. A cell counts for the very file it was measured on; `--again` writes the files
anew.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

from keras_vit import files, training
from keras_vit.export.comparison.on_processors import ProcessorRuns
from keras_vit.export.export_all import Writer
from keras_vit.export.images.image_folder import read_folder
from keras_vit.export.io.reference import Reference
from keras_vit.export.processors import TARGETS, chosen, parts
from keras_vit.export.processors.native import described
from keras_vit.export.processors.trial import NOT_TRIED, ProcessorTrial
from keras_vit.export.report.artefacts import ARTEFACTS
from keras_vit.export.runtime import provenance
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.weights.fetch import locked, sha256

LARGE = (None, "dynamic_int8", "static_int8", "full_int8")
CALIBRATION = 64  # images


class Cells:
    """Finished cells of the table, kept in a file.

    Args:
        path: of the JSON file, which may not exist yet.
    """

    def __init__(self, path):
        self._path = path

    def _read(self):
        return json.loads(self._path.read_text()) if self._path.is_file() else {}

    def get(self, *key):
        """Figures of a cell, or None."""
        return self._read().get("/".join(map(str, key)))

    def put(self, figures, *key):
        """Keep the figures of a cell, beside those of other runs at the same time."""
        with (
            locked(self._path.with_name(".cells.lock")),
            files.replacing(self._path, overwrite=True) as temporary,
        ):
            found = {**self._read(), "/".join(map(str, key)): figures}
            temporary.write_text(json.dumps(found, indent=1) + "\n")


class Subject:
    """One model with its files.

    Args:
        name: of it. model: Keras model. images: (N, H, W, C) to run.
        calibration: other images. recipes: names, or None for all.
        folder: where its files lie. again: whether to write them anew.
    """

    def __init__(self, name, model, images, calibration, recipes, folder, again):
        self.name, self.model, self.images = name, model, images
        self.reference = Reference(model)
        self.expected = [self.reference(image[None]) for image in images]
        folder.mkdir(parents=True, exist_ok=True)
        made = [
            artefact
            for artefact in ARTEFACTS.values()
            if artefact.kind in ("tflite", "onnx")
            and (recipes is None or artefact.quantization in recipes)
        ]
        self.paths = {a.name: folder / a.file for a in made}
        todo = [a for a in made if again or not self.paths[a.name].exists()]
        for artefact in todo:
            self.paths[artefact.name].unlink(missing_ok=True)
        writer = Writer(model, folder, calibration, 1)
        writer.write_all(todo)
        self.failures = writer.failures

    def try_on(self, name, target, limit):
        """`ProcessorTrial` of a file on a processor, one image at a time.

        Args:
            name: of the file. target: `targets.Target`, or None for this machine.
            limit: seconds.
        """
        runtime = open_file(self.paths[name])
        runtime.order([tensor.name for tensor in self.reference.contract.outputs])
        if target is None:
            return self._here(runtime)
        with ProcessorRuns(self.reference, runtime, [target], 100.0, limit) as trials:
            for image, expected in zip(self.images, self.expected, strict=True):
                trials.add(image[None], None, expected)
            return trials.results()[target.name]

    def _here(self, runtime):
        """The same figures for this machine, against Keras."""
        got = np.concatenate([runtime(image[None])[0] for image in self.images])
        wanted = np.concatenate([answers[0] for answers in self.expected])
        tally = Tally()
        tally.add(wanted, got)
        trial = ProcessorTrial("native", "native", images=len(got))
        trial.native_difference, trial.native_db = tally.largest, tally.decibel
        same = got.argmax(axis=1) == wanted.argmax(axis=1)
        trial.native_agreement = 100.0 * float(same.mean())
        return trial


def measure(subject, targets, cells, limit, only):
    """Fill the cells of one model that are not there yet. only: names of files."""
    for name, path in subject.paths.items():
        if not path.exists() or (only and name not in only):
            continue
        digest = sha256(path)[:16]
        for target in (None, *targets):
            column = "native" if target is None else target.name
            key = (subject.name, name, digest, len(subject.images), column)
            kind = ARTEFACTS[name].kind
            done = cells.get(*key) is not None
            if done or (target and (kind not in target.formats)):
                continue
            start = time.monotonic()
            trial = subject.try_on(name, target, limit)
            cells.put(trial.to_dict(), *key)
            took = time.monotonic() - start
            print(f"{subject.name} {name} {column}: {took:.0f} s", flush=True)


def shown(figures):
    """One cell as text: images with the same class, largest difference, dB."""
    if figures is None:
        return NOT_TRIED
    if figures["reasons"]:
        (reason, *_) = figures["reasons"]
        if "must run the file" in reason or "must compile" in reason:
            return "refused"
        return reason if "stay on" in reason else f"failed: {reason}"[:80]
    if not figures["images"]:
        return figures["told"]
    same = round(figures["images"] * figures["native_agreement"] / 100)
    noise = figures["native_db"]
    noise = "equal" if noise is None else f"{noise:.0f} dB"
    text = f"{same}/{figures['images']}, {figures['native_difference']:.1g}, {noise}"
    arena = figures["facts"].get("arena_bytes")
    return text if arena is None else f"{text}, arena {arena / 1024:.0f} KiB"


def table(subject, cells):
    """The table of one model, in Markdown."""
    columns = ["native", *TARGETS]
    lines = [
        f"\n{subject.name}, {len(subject.images)} images. native: {described()}, "
        "against Keras; all others against native.\n",
        f"| file | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, path in subject.paths.items():
        if not path.exists():
            why = subject.failures.get(path.name, "not made")
            lines.append(f"| {name} | could not be made: {why[:80]} |")
            continue
        key = (subject.name, name, sha256(path)[:16], len(subject.images))
        cell = [shown(cells.get(*key, column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(cell)} |")
    return "\n".join(lines)


def digits(args):
    """The digits model as a `Subject`; trained first where none is given."""
    path = args.digits
    if path is None:
        path = args.folder / "training/best.keras"
        if not path.is_file():
            training.fit("digits", output_dir=path.parent, overwrite=True)
    model = keras.models.load_model(path)
    note = model.preprocessing
    test, _ = training.load_split("digits", "test", preprocessing=note)
    train, _ = training.load_split("digits", "train", preprocessing=note)
    images = np.concatenate([np.asarray(batch) for batch, _ in test])
    some = np.concatenate([np.asarray(batch) for batch, _ in train])[:CALIBRATION]
    spread = np.linspace(0, len(images) - 1, args.count).round().astype(int)
    rest = (None, args.folder / "digits", args.again)
    return Subject("digits", model, images[spread], some, *rest)


def large(args):
    """The model of `--large` as a `Subject`."""
    model = keras.models.load_model(args.large)
    note = model.preprocessing
    images = read_folder(args.images, note, args.large_count)
    some = read_folder(args.calibration, note, CALIBRATION)
    rest = (LARGE, args.folder / "large", args.again)
    return Subject(args.large.stem, model, images, some, *rest)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    usable = [name for name, row in TARGETS.items() if not parts.obstacle(row)]
    parser.add_argument(
        "--on", nargs="*", default=usable, help="(default: those that are installed)"
    )
    parser.add_argument(
        "--files", nargs="*", choices=sorted(ARTEFACTS), help="(default: all)"
    )
    parser.add_argument("--folder", type=pathlib.Path, default="out/processors")
    parser.add_argument("--digits", type=pathlib.Path, help="trained digits model")
    parser.add_argument("--large", type=pathlib.Path, help=".keras file of another")
    parser.add_argument("--images", type=pathlib.Path, help="for the large model")
    parser.add_argument("--calibration", type=pathlib.Path, help="for the large model")
    parser.add_argument("--count", type=int, default=60, help="images of digits")
    parser.add_argument("--large-count", type=int, default=20)
    parser.add_argument("--time-limit", type=float, default=7200, help="s for a cell")
    parser.add_argument("--again", action="store_true", help="write the files anew")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args()
    if args.large and not (args.images and args.calibration):
        parser.error("--large needs --images and --calibration")
    return args


def main():
    """Measure what is missing, and print both tables."""
    args = arguments()
    targets = [] if args.table else chosen(args.on)
    for target in targets:
        if reason := parts.obstacle(target):
            raise SystemExit(f"{target.name}: {reason}.")
    args.folder.mkdir(parents=True, exist_ok=True)
    cells, subjects = Cells(args.folder / "cells.json"), []
    for make in (digits, large) if args.large else (digits,):
        subjects.append(make(args))
        if not args.table:
            measure(subjects[-1], targets, cells, args.time_limit, args.files)
    for subject in subjects:
        print(table(subject, cells))
    versions = provenance.versions()
    told = (f"{name} {versions[name]}" for name in parts.RUNTIMES if name in versions)
    print(f"\n{', '.join(told)}")


if __name__ == "__main__":
    main()
