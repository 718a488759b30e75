"""`keras-vit export --for`: the file for an app, with its code."""

import pathlib

from keras_vit import files
from keras_vit.cli.option_rules import (
    PLATFORMS,
    UsageError,
    check_there,
    loudness,
    platform,
)
from keras_vit.cli.proof import check_images, validation_images
from keras_vit.cli.training import load_prepared


def add_platform(command):
    """Add the option that names the app's platform."""
    command.add_argument(
        "--for",
        dest="target",
        type=platform,
        metavar="|".join(PLATFORMS),
        help="write the one file that an app needs there into a folder: pixels in, "
        "probabilities out, class names, and code that calls it (default: none)",
    ).completer = lambda **_: PLATFORMS


def check_usage(args):
    """Refuse options that do not go with --for, before any slow step.

    Raises:
        UsageError: for one of them.
    """
    if pathlib.Path(args.output).suffix in (".tflite", ".onnx"):
        raise UsageError(
            f"--for: writes a folder, got the file {args.output!r}. Name a folder, or "
            "leave --for out."
        )
    parts = {"--preprocessing": args.preprocessing, "--softmax": args.softmax}
    others = {"--formats": args.formats, "--history": args.history, "--on": args.on}
    others |= {"--layers": args.layers, "--top": args.top}
    others |= {"--dynamic-batch": args.dynamic_batch}
    wrong = [name for name, value in {**parts, **others}.items() if value]
    if wrong and wrong[0] in parts:
        raise UsageError(f"{wrong[0]}: is part of --for. Leave it out.")
    if wrong:
        raise UsageError(f"{wrong[0]}: goes without --for. Leave one out.")
    if args.tolerance is not None and not (args.images or args.data):
        raise UsageError(
            "--tolerance: goes with images to judge by. Give --images FOLDER or --data."
        )
    check_images(args, required=args.quantization == "auto")


def run_for(args, labels):
    """Write the file and its code.

    Args:
        args: of the command, checked. labels: class names that were given, or None.
    """
    check_there(args)
    from keras_vit import export
    from keras_vit.export.apps.platforms import settle

    judged = args.images or args.data
    chosen, _ = settle(args.target, args.quantization, args.calibration, judged)
    folder = pathlib.Path(args.output)
    for name in chosen.names if folder.exists() else ():
        files.check_target(folder / name, args.overwrite)
    model = load_prepared(args)
    if labels is not None:
        _check_names(args.class_names, labels, model)
        model.labels = labels  # folders of images may be named so
    result = export.export_for(
        model,
        args.output,
        args.target,
        validation_images(args, model) if judged else None,
        quantization=args.quantization,
        calibration=args.calibration,
        labels=labels,
        input_size=args.input_size,
        tolerance=args.tolerance,
        overwrite=args.overwrite,
        verbose=loudness(args),
    )
    # What was not said on the way.
    return result.to_dict(), "" if loudness(args) else str(result), 0


def _check_names(file, names, model):
    classes, lines = model.outputs[0].shape[-1], len(names)
    if lines != classes or not all(map(str.strip, names)):
        got = f"{lines} lines" if lines != classes else "an empty line"
        raise UsageError(
            f"--class-names: must hold {classes} lines, one name for each class in the "
            f"order of the model's outputs, got {got} in {file}."
        )
