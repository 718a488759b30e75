"""What each recipe costs in accuracy and brings in size and time.

python benchmarks/quantization.py model.keras \
    --calibration folder --images folder --labels labels.csv
python benchmarks/quantization.py --random B/16 S/16

`labels.csv` holds lines `file name,class index`. Images are prepared as
`model.preprocessing` says. Recipes are calibrated on 64 images, taken at equal
distances from the calibration folder (which must not share images with the labelled
ones), and stand beside the plain recipe where that differs: ai-edge-quantizer's,
onnxruntime's, or the same integers without rewriting the graph first. Times are of
processor time on one thread for one image, all files in turn, as ratios to float32 of
the same format. int16x8 takes about a second an image: leave it out with `--rows`, or
judge it on fewer images with `--count`. Models of `--random` have random weights, so
their rows hold size and time alone.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import tempfile
import time
from unittest import mock

import keras
import numpy as np

import keras_vit
from keras_vit import export
from keras_vit.export.formats.run_export import ExportOptions, run_export
from keras_vit.export.formats.tflite.exporter import TFLite
from keras_vit.export.images.image_folder import LabelledFolder, read_folder
from keras_vit.export.io.io_spec import check_images, contract_of
from keras_vit.export.io.reference import Reference
from keras_vit.export.processors.native import described
from keras_vit.export.quantization.algorithms import static_int8
from keras_vit.export.quantization.calibration.statistics import collect_statistics
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.runtime.console import quiet
from keras_vit.export.runtime.precision import PRECISIONS, Precision
from keras_vit.export.runtime.runtimes import open_file
from keras_vit.progress import Bar


@contextlib.contextmanager
def any_accuracy():
    """Let a file be written whatever it answers: it is to be measured."""
    loose = dict.fromkeys(PRECISIONS, Precision(-99.0, -99.0))
    with mock.patch.dict(PRECISIONS, loose):
        yield


def tflite(recipe):
    """How to write a TFLite file: a function of (model, float file, path, images)."""

    def write(model, source, path, images):
        own = images if recipe and RECIPES[recipe].calibrated else None
        reference = Reference(model, dynamic_batch=False)
        options = ExportOptions(path, calibration=own, source=source, verbose=0)
        run_export(TFLite(), reference, recipe, options)

    return write


def onnx(recipe):
    """How to write an ONNX file."""

    def write(model, source, path, images):
        options = {"calibration": images} if recipe == "static_int8" else {}
        export.to_onnx(model, path, quantization=recipe, verbose=0, **options)

    return write


def static_without_rewrites(model, source, path, images):
    """static_int8 as it is elsewhere: min-max ranges, no rewrite, no split."""
    with (
        mock.patch.object(static_int8, "prepare", lambda graph: None),
        mock.patch.object(static_int8, "split_all", lambda *_: []),
        mock.patch.object(
            static_int8,
            "collect_statistics",
            functools.partial(collect_statistics, method="min_max"),
        ),
    ):
        tflite("static_int8")(model, source, path, images)


def edge_quantizer(name):
    """A recipe of ai-edge-quantizer on the float32 file."""

    def write(model, source, path, images):
        from ai_edge_quantizer import quantizer, recipe

        with quiet():
            made = quantizer.Quantizer(str(source), getattr(recipe, name)())
            seen = None
            if made.need_calibration:
                data = [{"image": image[None]} for image in images[:32]]
                seen = made.calibrate({"serving_default": data}, num_threads=1)
            made.quantize(seen).export_model(str(path))

    return write


def onnxruntime_dynamic(model, source, path, images):
    """onnxruntime's own dynamic quantization of the float32 file."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8)


# name -> (suffix, how it is written); the first row of a suffix is its float32.
ROWS = {
    "float32": (".tflite", tflite(None)),
    "float16": (".tflite", tflite("float16")),
    "dynamic_int8": (".tflite", tflite("dynamic_int8")),
    "static_int8, plain": (".tflite", static_without_rewrites),
    "static_int8": (".tflite", tflite("static_int8")),
    "int16x8, plain": (".tflite", edge_quantizer("static_wi8_ai16")),
    "int16x8": (".tflite", tflite("int16x8")),
    "full_int8, plain": (".tflite", edge_quantizer("static_wi8_ai8")),
    "full_int8": (".tflite", tflite("full_int8")),
    "int4, plain": (".tflite", edge_quantizer("dynamic_wi4_afp32")),
    "int4": (".tflite", tflite("int4")),
    "int4_blockwise": (".tflite", tflite("int4_blockwise")),
    "ONNX float32": (".onnx", onnx(None)),
    "ONNX float16": (".onnx", onnx("float16")),
    "ONNX dynamic_int8, plain": (".onnx", onnxruntime_dynamic),
    "ONNX dynamic_int8": (".onnx", onnx("dynamic_int8")),
    "ONNX static_int8": (".onnx", onnx("static_int8")),
}


def chosen(rows, plain=True):
    """Names of ROWS that were asked for, and the float32 file of their formats."""
    unknown = [row for row in rows if not any(name.startswith(row) for name in ROWS)]
    if unknown:
        raise SystemExit(
            f"--rows: must be first letters of {'; '.join(ROWS)}, got {unknown[0]!r}."
        )
    wanted = {name for name in ROWS for row in rows if name.startswith(row)} or ROWS
    wanted = {name for name in wanted if plain or not name.endswith("plain")}
    suffixes = {ROWS[name][0] for name in wanted}
    return [
        name
        for name, (suffix, _) in ROWS.items()
        if name in wanted or (name.endswith("float32") and suffix in suffixes)
    ]


def write_all(model, folder, images, names):
    """Name -> path of every row that could be written; the others are reported."""
    made, sources = {}, {}
    for name in names:
        suffix, write = ROWS[name]
        path = folder / (name.replace(", ", "_").replace(" ", "_") + suffix)
        try:
            with any_accuracy():
                write(model, sources.get(suffix), path, images)
        except (ImportError, RuntimeError, TypeError, ValueError) as err:
            print(f"{name}: not written, {type(err).__name__}: {str(err)[:200]}")
            continue
        sources.setdefault(suffix, path)
        made[name] = path
        print(f"{name}: {path.stat().st_size} bytes", flush=True)
    return made


def clock(runtimes, image, rounds):
    """CPU seconds of each file, interleaved, (rounds, files); slow ones once."""
    seconds = np.zeros((rounds, len(runtimes)))
    for row in range(-1, rounds):  # the first round warms up and is written over
        for column, runtime in enumerate(runtimes):
            if row > 0 and seconds[0, column] > 0.5:
                seconds[row, column] = seconds[0, column]
                continue
            start = time.process_time()
            runtime(image)
            seconds[row, column] = time.process_time() - start
    return np.median(seconds, axis=0)


def answers_of(runtimes, photos):
    """What each file says to each labelled image, (files, N, K), and classes (N,)."""
    answers, labels = [[] for _ in runtimes], []
    bar = Bar(photos.count, "image")
    for images, classes in photos:
        labels += list(classes)
        for image in images:
            for answer, runtime in zip(answers, runtimes, strict=True):
                answer.append(runtime(image[None])[0][0])
            bar.add(1)
    return np.array(answers), np.array(labels)


def report(made, seconds, answers=None, labels=None):
    """Print the table; ratios are to the float32 file of the same format."""
    print(
        "\n| recipe | top-1 % | agreement % | dB | size | time |\n" + "|---" * 6 + "|"
    )
    base = {path.suffix: i for i, path in reversed(list(enumerate(made.values())))}
    for row, (name, path) in enumerate(made.items()):
        first = base[path.suffix]
        size = path.stat().st_size / list(made.values())[first].stat().st_size
        cells = (
            ["", "", ""] if answers is None else figures(answers, row, first, labels)
        )
        print(
            f"| {name} | {' | '.join(cells)} | {size:.4f}x "
            f"| {seconds[row] / seconds[first]:.2f}x |"
        )


def figures(answers, row, first, labels):
    """Top-1, agreement with the float32 file, and signal-to-noise ratio, as text."""
    answer, reference = answers[row], answers[first]
    top = 100 * (answer.argmax(1) == labels).mean()
    agree = 100 * (answer.argmax(1) == reference.argmax(1)).mean()
    noise = max(float(((answer - reference) ** 2).sum()), 1e-30)
    decibel = 10 * np.log10(float((reference**2).sum()) / noise)
    return [f"{top:.1f}", f"{agree:.1f}", "" if row == first else f"{decibel:.1f}"]


def measure(model, images, names, rounds, photos=None):
    """Write the files of one model, run them, print their table."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_all(model, pathlib.Path(folder), images, names)
        runtimes = [open_file(path) for path in made.values()]
        seconds = clock(runtimes, images[:1], rounds)
        if photos is None:
            report(made, seconds)
        else:
            report(made, seconds, *answers_of(runtimes, photos))
        first, count = next(iter(made)), photos.count if photos else 0
        print(
            f"\n{model.name}: {count} images, {len(images)} for calibration; "
            f"{first} {1000 * seconds[0]:.1f} ms on {processor()}, 1 thread"
        )


def processor():
    """Name and features of this processor, as far as a runtime sees them."""
    return described(os.environ.get("HIDDEN_FEATURES", "").split())


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", help=".keras file with model.preprocessing")
    for name in ("--calibration", "--images", "--labels"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--random", nargs="+", default=[], help="variants: B/16 S/16")
    parser.add_argument(
        "--rows", nargs="+", default=[], help=f"first letters of: {'; '.join(ROWS)}"
    )
    parser.add_argument(
        "--no-plain", action="store_true", help="leave out what others make of it"
    )
    parser.add_argument("--count", type=int, default=1000, help="labelled images")
    parser.add_argument("--calibration-count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30, help="of timing")
    args = parser.parse_args()
    if args.model and not (args.calibration and args.images and args.labels):
        parser.error("a model needs --calibration, --images and --labels")
    return args


def main():
    """Measure one model on images, or variants with random weights."""
    args = arguments()
    names = chosen(args.rows, not args.no_plain)
    if args.model:
        model = keras.models.load_model(args.model)
        note = model.preprocessing
        images = read_folder(args.calibration, note, args.calibration_count)
        photos = LabelledFolder(args.images, note, args.labels, most=args.count)
        measure(model, images, names, args.rounds, photos)
    for variant in args.random:
        model = keras_vit.create(variant)
        images = check_images(contract_of(model, False), 32)
        measure(model, images, names, args.rounds)


if __name__ == "__main__":
    main()
