"""`keras-vit export` and `demo`: export to TFLite, ONNX and SavedModel."""

import pathlib
import time

from keras_vit import files
from keras_vit.choices import likely
from keras_vit.cli import app
from keras_vit.cli.artefact_table import summary
from keras_vit.cli.option_rules import (
    UsageError,
    check_there,
    loudness,
    points,
    positive,
    sides,
    words,
)
from keras_vit.cli.proof import (
    add_images,
    add_processors,
    check_images,
    validation_images,
)
from keras_vit.cli.training import add_data, add_preprocess, load_prepared

FORMATS = (".tflite", ".onnx")


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    export = commands.add_parser(
        "export",
        help="export a model to TFLite, ONNX or SavedModel",
        description="Writes one file, proved in its own runtime, or a folder with "
        "every format, each judged on real images, and a report that says which one "
        "to ship; or, with --for, the one file that an app needs, with its code.",
    )
    export.add_argument("model", help="a .keras file or a checkpoint")
    export.add_argument(
        "output",
        help="FILE.tflite, FILE.onnx, or a folder for every format and a report",
    )
    app.add_platform(export)
    export.add_argument(
        "--quantization",
        metavar="RECIPE",
        help="quantization recipe of one file or --for: float16, int4 and others, or "
        "auto, the smallest that keeps top-1 on --images (default: float32, or the "
        "platform's)",
    )
    export.add_argument(
        "--tolerance",
        type=points,
        metavar="POINTS",
        help="top-1 that auto, or a file of a folder, may lose (default: 0.5; in a "
        "folder int4 files 1.5)",
    )
    export.add_argument(
        "--formats",
        type=words,
        metavar="NAME,NAME",
        help="formats of a folder, such as tflite,tflite_dynamic_int8,onnx, or all "
        "(default: the usual ones)",
    )
    _add_data(export)
    export.add_argument(
        "--layers",
        action="store_true",
        help="for a folder: also signal-to-noise per block",
    )
    add_processors(export)
    _add_face(export)
    add_preprocess(export)
    export.add_argument(
        "--dynamic-batch", action="store_true", help="accept any batch size"
    )
    export.add_argument(
        "--overwrite", action="store_true", help="replace an existing output"
    )
    add_data(export, required=False)
    export.set_defaults(run=run_export)
    _add_demo(commands)


def _add_data(export):
    """Add options of calibration, validation and the report."""
    export.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="calibration images: 32 or more of the training images; or a file of "
        "saved ranges (default: none)",
    )
    add_images(export)
    export.add_argument(
        "--history",
        metavar="CSV",
        help="training log for the report, or none (default: that of the run)",
    )


def _add_demo(commands):
    demo = commands.add_parser("demo", help="train, export and verify on real digits")
    demo.add_argument(
        "--output", default="keras_vit_demo", help="folder for everything"
    )
    demo.add_argument("--seed", type=int, default=0, help="random seed")
    demo.add_argument("--epochs", type=positive, help="training epochs (default: 90)")
    demo.add_argument(
        "--overwrite", action="store_true", help="replace an existing output"
    )
    demo.set_defaults(run=run_demo)


def _add_face(export):
    """Add options of one file's inputs and outputs."""
    face = export.add_argument_group("what one file takes and gives")
    face.add_argument(
        "--preprocessing",
        choices=("embed",),
        help="take uint8 pixels, and prepare them in the file (default: "
        "prepared floats)",
    )
    face.add_argument(
        "--input-size",
        type=sides,
        metavar="PX|H,W",
        help="image size of those pixels (default: the model's)",
    )
    face.add_argument(
        "--softmax", action="store_true", help="give probabilities instead of logits"
    )
    face.add_argument(
        "--top",
        type=positive,
        metavar="N",
        help="give the top N classes only (default: all)",
    )
    face.add_argument(
        "--class-names",
        metavar="FILE",
        help="labels, one per line (default: the model's)",
    )


def _face(args):
    """Signature options that were given, as keyword arguments."""
    given = {"preprocessing": args.preprocessing, "input_size": args.input_size}
    given |= {"top": args.top, "classifier_activation": args.softmax and "softmax"}
    given["labels"] = _class_names(args)
    return {name: value for name, value in given.items() if value}


def _class_names(args):
    """Read the class names of --class-names, or None."""
    if not args.class_names:
        return None
    path = pathlib.Path(args.class_names)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of class names.")
    try:
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as err:
        byte = err.object[err.start]
        raise UsageError(
            f"--class-names: must be text in UTF-8, got byte {byte:#x} in {path}. Save "
            "it as UTF-8."
        ) from err


def run_export(args):
    """Export one file, or all formats with a report."""
    target = pathlib.Path(args.output)
    options = {"overwrite": args.overwrite, "verbose": loudness(args)}
    if args.target:
        app.check_usage(args)
    else:
        _check_usage(args, folder=target.suffix not in FORMATS)
    if args.calibration and not pathlib.Path(args.calibration).exists():
        raise FileNotFoundError(
            f"{args.calibration}: must be a folder of images, or a file of ranges that "
            "quantization.calibrate made. Check the path."
        )
    check_there(args)
    if args.target:
        return app.run_for(args, _class_names(args))
    from keras_vit import export

    if target.suffix not in FORMATS:
        return _export_all(args, options)
    _check_recipe(args, target.suffix[1:])
    files.check_target(target, args.overwrite)
    model = load_prepared(args)
    options["calibration"] = args.calibration
    if args.quantization == "auto":
        options["validation"] = validation_images(args, model)
        if args.tolerance is not None:
            options["tolerance"] = args.tolerance
    write = export.to_tflite if target.suffix == ".tflite" else export.to_onnx
    written = write(
        model,
        target,
        quantization=args.quantization,
        dynamic_batch=args.dynamic_batch,
        **_face(args),
        **options,
    )
    tried = [f"  tried {trial}" for trial in written.tried]
    return written.to_dict(), "\n".join([str(written), *tried]), 0


def _check_usage(args, folder):
    """Refuse options of a folder with one file, and the reverse.

    Raises:
        UsageError: when they are mixed.
    """
    auto = args.quantization == "auto"
    check_images(args, required=folder or auto)
    if folder and args.quantization:
        raise UsageError(
            f"--quantization: names one file, got a folder {args.output!r}. "
            "Use FILE.tflite or FILE.onnx, or --formats."
        )
    single = {"--dynamic-batch": args.dynamic_batch, "--softmax": args.softmax}
    single |= {"--preprocessing": args.preprocessing, "--input-size": args.input_size}
    single |= {"--top": args.top, "--class-names": args.class_names}
    wrong = [name for name, value in single.items() if value]
    if folder and wrong:
        raise UsageError(f"{wrong[0]}: goes with one file. Leave it out.")
    if not folder:
        options = {"--formats": args.formats, "--history": args.history}
        options |= {"--layers": args.layers, "--on": args.on}
        if not auto:
            options["--tolerance"] = args.tolerance is not None
            options.update({"--images": args.images, "--data": args.data})
        wrong = [name for name, value in options.items() if value]
        if wrong:
            raise UsageError(
                f"{wrong[0]}: goes with a folder, got the file {args.output!r}. "
                "Leave it out, or name a folder."
            )


def _check_recipe(args, file_format):
    """Check that the recipe exists, and that its calibration images are given.

    Raises:
        UsageError: when it does not.
    """
    from keras_vit.export.report.artefacts import ARTEFACTS

    artefacts = {a.quantization: a for a in ARTEFACTS.values() if a.kind == file_format}
    if args.quantization not in (*artefacts, "auto"):
        known = [*filter(None, artefacts), "auto"]
        raise UsageError(
            f"--quantization: must be one of {', '.join(known)} for .{file_format}, "
            f"got {args.quantization!r}.{likely(args.quantization, known)}"
        )
    needs = args.quantization != "auto" and artefacts[args.quantization].calibrated
    if needs and not args.calibration:
        raise UsageError(
            f"--calibration: needed for {args.quantization}. Give a folder with at "
            "least 32 training images."
        )
    if args.calibration and not needs and args.quantization != "auto":
        raise UsageError(
            f"--calibration: is not used with --quantization {args.quantization}. "
            "Leave it out."
        )


def _export_all(args, options):
    from keras_vit import export
    from keras_vit.export.report.artefacts import chosen

    formats = "all" if args.formats == ["all"] else args.formats
    try:
        chosen(formats, args.calibration)
    except ValueError as err:
        raise UsageError(f"--{err}") from err
    history = _history(args)
    model = load_prepared(args)
    report = export.export_all(
        model,
        args.output,
        validation=validation_images(args, model),
        formats=formats,
        history=history,
        layers=args.layers,
        max_points_lost=args.tolerance,
        on=args.on,
        time_limit=args.time_limit,
        calibration=args.calibration,
        model_file=args.model,
        **options,
    )
    whole = report.passed and report.complete
    return report.to_dict(), summary(report), 0 if whole else 1


def _history(args):
    """Training log by its option, or beside the model."""
    from keras_vit.export.report.history import beside
    from keras_vit.export.runtime.console import say

    if args.history is not None:
        return False if args.history == "none" else args.history
    log, obstacle = beside(args.model)
    verbose = loudness(args)
    if log is not None:
        more = "found beside the model; --history none leaves it out"
        say(f"history: {log}, {more}", verbose)
    elif obstacle:
        say(f"history: left out of the report: {obstacle}", verbose)
    return log


def run_demo(args):
    """Train on real digits, evaluate, export every format, verify, report."""
    from keras_vit import export, training
    from keras_vit.intervals import percents, shown

    folder, verbose = pathlib.Path(args.output), loudness(args)
    start = time.monotonic()
    overrides = {} if args.epochs is None else {"epochs": args.epochs}
    result = training.fit(
        recipe="digits",
        output_dir=folder / "training",
        seed=args.seed,
        overwrite=args.overwrite,
        verbose=verbose,
        **overrides,
    )
    trained = time.monotonic()
    dataset, info = training.load_split(
        "digits", preprocessing=result.model.preprocessing
    )
    scores = training.evaluate.top_k(result.model, dataset, verbose=verbose)
    report = export.export_all(
        result.model,
        folder / "export",
        validation=dataset,
        history=folder / "training" / "history.csv",
        model_file=folder / "training" / "best.keras",
        overwrite=args.overwrite,
        verbose=verbose,
    )
    count = scores["count"]
    ends = percents(round(scores["top1"] * count), count)
    answer = {
        "test_top1": scores["top1"],
        "test_top1_interval": [end / 100.0 for end in ends],
        "test_images": count,
        "training_s": round(trained - start, 1),
        "all_s": round(time.monotonic() - start, 1),
        "model": str(folder / "training" / "best.keras"),
        "report": str(report.html),
        "export": report.to_dict(),
    }
    text = (
        f"\n{summary(report)}\n\n"
        f"test top-1 {scores['top1']:.2%} ({shown(ends)}) of {count} images never "
        f"trained on; trained in {answer['training_s']:.0f} s, all in "
        f"{answer['all_s']:.0f} s\n"
        f"model   {answer['model']}\nreport  {answer['report']}"
    )
    return answer, text, 0 if report.passed else 1
