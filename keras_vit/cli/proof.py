"""`keras-vit verify` and `benchmark` of exported files."""

import pathlib

from keras_vit.cli.option_rules import (
    UsageError,
    check_there,
    loudness,
    numbers,
    points,
    positive,
    words,
)
from keras_vit.cli.training import (
    add_data,
    add_preprocess,
    load_prepared,
    load_split,
)


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    verify = commands.add_parser(
        "verify",
        help="compare an exported file with the Keras model",
        description="Runs an exported file and the Keras model on the same images: "
        "top-1 and top-5 of both, agreement, noise, operators, what GPUs and NPUs "
        "refuse. Exit code 1 when the file is not the model any more.",
    )
    verify.add_argument("model", help="the .keras file it was made from")
    verify.add_argument("artefact", help="SavedModel folder, .tflite or .onnx")
    verify.add_argument(
        "--layers",
        action="store_true",
        help="also the signal-to-noise ratio of each block, and whether 16-bit "
        "floats can hold them",
    )
    verify.add_argument("--signature", help="signature to call (default: the first)")
    verify.add_argument(
        "--max-points-lost",
        type=points,
        metavar="POINTS",
        help="top-1 that the file may lose (default: 0.5, of int4 files 1.5)",
    )
    add_processors(verify)
    add_images(verify)
    add_preprocess(verify)
    add_data(verify, required=False)
    verify.set_defaults(run=run_verify)

    bench = commands.add_parser(
        "benchmark",
        help="latency, memory and size of exported files",
        description="Runs files in turns, each in a process of its own, and prints "
        "ratios to the float32 .tflite file first.",
    )
    bench.add_argument(
        "files", nargs="+", metavar="FILE", help=".tflite, .onnx, .keras, or a folder"
    )
    bench.add_argument(
        "--threads",
        type=numbers,
        metavar="N,N",
        help="numbers of processor threads (default: 1 and all cores)",
    )
    bench.add_argument(
        "--rounds", type=positive, default=30, help="timed runs of each file"
    )
    bench.add_argument("--signature", help="signature to call (default: the first)")
    bench.add_argument(
        "--cross-check",
        action="store_true",
        help="let LiteRT's litert-benchmark time .tflite files too",
    )
    bench.set_defaults(run=run_benchmark)


def add_processors(command):
    """Add options that run files on other processors."""
    command.add_argument(
        "--on",
        type=words,
        default=[],
        metavar="NAME,NAME",
        help="processors to run it on too, such as cortex-a76,haswell; `keras-vit "
        "processors` lists them (default: this machine alone)",
    )
    command.add_argument(
        "--time-limit",
        type=positive,
        default=3600,
        metavar="SECONDS",
        help="time limit of a file on one of these processors (default: 3600)",
    )


def add_images(command):
    """Add options of validation images."""
    command.add_argument(
        "--images",
        metavar="FOLDER",
        help="validation images, preprocessed as the model says (default: --data)",
    )
    command.add_argument(
        "--labels",
        metavar="CSV",
        help="label table of --images: lines `file name,class`, an index or a name "
        "(default: the folders' names, where they are the model's labels)",
    )
    command.add_argument(
        "--on-missing-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with lines of --labels whose image is not there (default: "
        "refuse)",
    )


def check_images(args, required):
    """Refuse contradicting image options, before the model is loaded.

    Raises:
        UsageError: for both or none of --images and --data, or --labels alone.
        OSError: for a folder or table that does not exist.
    """
    if args.images and args.data:
        raise UsageError("--images: goes without --data, got both. Leave one out.")
    if args.labels and not args.images:
        raise UsageError("--labels: goes with --images FOLDER. Give both.")
    if required and not (args.images or args.data):
        raise UsageError(
            "--images: needed to compare on real images. Give --images FOLDER, or "
            "--data digits, folder:PATH or tfds:NAME."
        )
    if args.images and not pathlib.Path(args.images).is_dir():
        raise NotADirectoryError(f"{args.images}: must be a folder of images.")
    if args.labels and not pathlib.Path(args.labels).is_file():
        raise FileNotFoundError(f"{args.labels}: no such table of labels.")


def validation_images(args, model):
    """Load the validation images of `verify` and `export`."""
    from keras_vit.export.images.batches import BatchesWithNotes
    from keras_vit.export.images.image_folder import LabelledFolder
    from keras_vit.export.runtime.console import say
    from keras_vit.models.input_range import stated
    from keras_vit.models.output_activation import labels_of

    if not args.images:
        data, info = load_split(args, model)
        skipped = [f"left out: {path}" for path in info.skipped]
        return BatchesWithNotes(data, [*info.notes, *skipped])
    names, shape = labels_of(model), model.outputs[0].shape
    classes = shape[-1] if len(shape) == 2 else None
    note, _ = stated(model)
    given = (args.images, note, args.labels, names, classes, None)
    found = LabelledFolder(*given, args.on_missing_image)
    for line in found.notes:
        say(f"{args.images}: {line}", verbose=loudness(args))
    return found


def run_verify(args):
    """Compare a file with its Keras model."""
    check_images(args, required=True)
    if not pathlib.Path(args.artefact).exists():
        raise FileNotFoundError(f"{args.artefact}: no such file or folder.")
    if args.on:
        from keras_vit.export.processors.session import ready

        ready(args.on, args.artefact)
    check_there(args)
    from keras_vit import export
    from keras_vit.export.inspection.summary import describe

    model = load_prepared(args)
    images = validation_images(args, model)
    report = export.verify(
        model,
        args.artefact,
        images,
        max_points_lost=args.max_points_lost,
        layers=args.layers,
        signature=args.signature,
        on=args.on,
        time_limit=args.time_limit,
        on_failure="report",
        verbose=loudness(args),
    )
    return report.to_dict(), describe(report), 0 if report.verdict == "passed" else 1


def run_benchmark(args):
    """Benchmark every file."""
    from keras_vit import export

    result = export.benchmark(
        args.files,
        threads=args.threads,
        rounds=args.rounds,
        signature=args.signature,
        cross_check=args.cross_check,
        verbose=loudness(args),
    )
    return result.to_dict(), str(result), 0
