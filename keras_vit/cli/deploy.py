"""`keras-vit export`, `verify`, `demo`: files for phones, and their proof."""

import pathlib
import time

from keras_vit.cli.models import load
from keras_vit.cli.table import table
from keras_vit.cli.training import add_data, load_split

FORMATS = (".tflite", ".onnx")


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    export = commands.add_parser("export", help="write a model for other runtimes")
    export.add_argument("model", help="a .keras file or a checkpoint")
    export.add_argument(
        "output",
        help="FILE.tflite, FILE.onnx, or a folder for every format and a report",
    )
    export.add_argument(
        "--quantization", help="dynamic_int8 or float16; default: float32"
    )
    export.add_argument("--dynamic-batch", action="store_true")
    export.add_argument("--history", help="history.csv of the training, for the report")
    export.add_argument("--overwrite", action="store_true")
    add_data(export, required=False)
    export.set_defaults(run=run_export)

    verify = commands.add_parser("verify", help="hold an exported file against Keras")
    verify.add_argument("model", help="the .keras file it was made from")
    verify.add_argument("artefact", help="SavedModel folder, .tflite or .onnx")
    add_data(verify)
    verify.set_defaults(run=run_verify)

    demo = commands.add_parser("demo", help="images to verified files, on real digits")
    demo.add_argument(
        "--output", default="keras_vit_demo", help="folder for everything"
    )
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--epochs", type=int, help="fewer for a quick look")
    demo.add_argument("--overwrite", action="store_true")
    demo.set_defaults(run=run_demo)


def run_export(args):
    """One file, or all formats with a report."""
    from keras_vit import export

    target = pathlib.Path(args.output)
    options = {"overwrite": args.overwrite, "verbose": 0 if args.json else 1}
    if target.suffix not in FORMATS:
        return _export_all(args, options)
    write = export.to_tflite if target.suffix == ".tflite" else export.to_onnx
    written = write(
        load(args.model),
        target,
        quantization=args.quantization,
        dynamic_batch=args.dynamic_batch,
        **options,
    )
    return written.to_dict(), str(written), 0


def _export_all(args, options):
    from keras_vit import export

    if args.quantization:
        raise ValueError(
            f"--quantization: names one file, got a folder {args.output!r}. "
            "Use FILE.tflite or FILE.onnx."
        )
    model = load(args.model)
    validation, _ = load_split(args, model)
    report = export.export_all(
        model, args.output, validation=validation, history=args.history, **options
    )
    return report.to_dict(), summary(report), 0 if report.passed else 1


def run_verify(args):
    """Compare a file with the model it was made from."""
    from keras_vit import export

    model = load(args.model)
    dataset, _ = load_split(args, model)
    report = export.verify(
        model,
        args.artefact,
        dataset,
        on_failure="report",
        verbose=0 if args.json else 1,
    )
    return report.to_dict(), str(report), 0 if report.passed else 1


def run_demo(args):
    """Train on real digits, evaluate, export every format, verify, report."""
    from keras_vit import export, training

    folder, verbose = pathlib.Path(args.output), 0 if args.json else 1
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
        overwrite=args.overwrite,
        verbose=verbose,
    )
    answer = {
        "test_top1": scores["top1"],
        "test_images": scores["count"],
        "training_s": round(trained - start, 1),
        "all_s": round(time.monotonic() - start, 1),
        "model": str(folder / "training" / "best.keras"),
        "report": str(report.html),
        "export": report.to_dict(),
    }
    text = (
        f"\n{summary(report)}\n\n"
        f"test top-1 {scores['top1']:.2%} of {scores['count']} images never trained "
        f"on; trained in {answer['training_s']:.0f} s, all in {answer['all_s']:.0f} s\n"
        f"model   {answer['model']}\nreport  {answer['report']}"
    )
    return answer, text, 0 if report.passed else 1


def summary(report):
    """The table of artefacts for the terminal."""
    head = ["file", "MB", "largest difference", "top-1 %", "Keras %", "time", "proof"]
    rows = [
        [
            artefact.path.name,
            f"{artefact.size_bytes / 1e6:.2f}",
            f"{artefact.largest_difference:.1e}",
            "" if artefact.top1 is None else f"{artefact.top1:.2f}",
            "" if artefact.top1_keras is None else f"{artefact.top1_keras:.2f}",
            f"{artefact.time_ratio:.2f}x",
            "passed" if artefact.passed else "FAILED: " + "; ".join(artefact.reasons),
        ]
        for artefact in report.artefacts
    ]
    return table(rows, head)
