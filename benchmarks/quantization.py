"""What each TFLite recipe costs in accuracy and brings in size and time.

python benchmarks/quantization.py model.keras \
    --calibration folder --images folder --labels labels.csv

`labels.csv` holds lines `file name,class index`. Images are prepared as
`model.preprocessing` says. Static recipes are calibrated on 64 images, taken at equal
distances from the calibration folder (which must not share images with the labelled
ones), and stand beside the plain recipe: the same integers without rewriting the graph
first. Times are of one thread, one image, all files in turn, as ratios to float32.
"""

import argparse
import contextlib
import pathlib
import platform
import tempfile
import time
from unittest import mock

import keras
import numpy as np

from keras_vit import export
from keras_vit.export.quantization import static
from keras_vit.export.runtimes import open_file

SUFFIXES = {".jpg", ".jpeg", ".png"}


def read(model, path):
    """One image file as the model takes it, (H, W, C) float32."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(model.preprocessing(np.asarray(image.convert("RGB"))))


def calibration_images(model, folder, count):
    """Images at equal distances in the sorted folder, (count, H, W, C)."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    chosen = np.linspace(0, len(files) - 1, count).round().astype(int)
    return np.stack([read(model, files[i]) for i in chosen])


def labelled(folder, csv, count):
    """(path, class) pairs, `count` of them at equal distances."""
    lines = [line.rsplit(",", 1) for line in csv.read_text().split()]
    chosen = np.linspace(0, len(lines) - 1, min(count, len(lines))).round().astype(int)
    return [(folder / lines[i][0], int(lines[i][1])) for i in chosen]


@contextlib.contextmanager
def plain():
    """Static quantization as it is elsewhere: no rewrite, no split."""
    with (
        mock.patch.object(static, "prepare", lambda graph: None),
        mock.patch.object(static, "split_all", lambda *_: []),
        mock.patch("keras_vit.export.compare.LEAST_DB", {"int8": -99, "float16": 0}),
    ):
        yield


def write_all(model, folder, images):
    """Name -> file: every recipe, and the plain one where it differs."""
    made = {}
    for name in (None, "float16", "dynamic_int8"):
        made[name or "float32"] = export.to_tflite(
            model, folder / f"{name}.tflite", name, verbose=0
        )
    options = {"quantization": "static_int8", "calibration": images, "verbose": 0}
    with plain():
        path = folder / "plain_static_int8.tflite"
        made["static_int8, plain"] = export.to_tflite(model, path, **options)
    path = folder / "static_int8.tflite"
    made["static_int8"] = export.to_tflite(model, path, **options)
    return made


def clock(runtimes, image, rounds):
    """Median CPU time of each file as a ratio to the first, interleaved."""
    seconds = np.zeros((rounds, len(runtimes)))
    for row in range(-1, rounds):  # the first round warms up and is written over
        for column, runtime in enumerate(runtimes):
            start = time.process_time()
            runtime(image)
            seconds[row, column] = time.process_time() - start
    return np.median(seconds, axis=0) / np.median(seconds[:, 0]), seconds


def main():
    """Write every file, run them all on the labelled images, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a .keras file with model.preprocessing")
    for name in ("--calibration", "--images", "--labels"):
        parser.add_argument(name, type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="labelled images")
    parser.add_argument("--calibration-count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30, help="of timing")
    args = parser.parse_args()
    import keras_vit  # noqa: F401  registers the layers

    model = keras.models.load_model(args.model)
    images = calibration_images(model, args.calibration, args.calibration_count)
    pairs = labelled(args.images, args.labels, args.count)
    with tempfile.TemporaryDirectory() as folder:
        made = write_all(model, pathlib.Path(folder), images)
        runtimes = [open_file(file) for file in made.values()]
        ratios, seconds = clock(runtimes, images[:1], args.rounds)
        answers = [[] for _ in runtimes]
        for path, _ in pairs:
            image = read(model, path)[None]
            for answer, runtime in zip(answers, runtimes, strict=True):
                answer.append(runtime(image)[0][0])
        report(made, np.array(answers), np.array([c for _, c in pairs]), ratios)
    print(
        f"\n{len(pairs)} images, {args.calibration_count} for calibration; float32 "
        f"{1000 * np.median(seconds[:, 0]):.1f} ms on {platform.machine()}, 1 thread"
    )


def report(made, answers, labels, ratios):
    """Print the table. answers: (files, N, K)."""
    reference, first = answers[0], next(iter(made.values()))
    print("| recipe | top-1 % | agreement % | dB | size | time |\n" + "|---" * 6 + "|")
    for name, answer, ratio in zip(made, answers, ratios, strict=True):
        top = 100 * (answer.argmax(1) == labels).mean()
        agree = 100 * (answer.argmax(1) == reference.argmax(1)).mean()
        noise = max(float(((answer - reference) ** 2).sum()), 1e-30)
        decibel = 10 * np.log10(float((reference**2).sum()) / noise)
        shown = "" if name == "float32" else f"{decibel:.1f}"
        size = made[name].size_bytes / first.size_bytes
        print(
            f"| {name} | {top:.1f} | {agree:.1f} | {shown} | {size:.3f}x "
            f"| {ratio:.2f}x |"
        )


if __name__ == "__main__":
    main()
