"""`keras-vit recipes` and `predict`; options shared by several commands."""

import ast
import dataclasses
import importlib.util
import pathlib
import sys

from keras_vit import files
from keras_vit.cli.option_rules import check_there, loudness, positive
from keras_vit.cli.table import table
from keras_vit.errors import DataError

RANGE = frozenset({"mode", "mean", "std", "scale"})


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    recipes = commands.add_parser("recipes", help="list the training recipes")
    recipes.add_argument("name", nargs="?", help="recipe to show in full")
    recipes.set_defaults(run=run_recipes)
    predict = commands.add_parser("predict", help="classify images")
    predict.add_argument("model", help="a .keras file or a checkpoint")
    predict.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, or folders of them"
    )
    predict.add_argument("--top", type=positive, default=5, help="classes per image")
    _add_answers(predict)
    add_preprocess(predict)
    predict.set_defaults(run=run_predict)


def _add_answers(command):
    """Add options of the predictions' output and of unreadable images."""
    command.add_argument(
        "--csv",
        metavar="FILE",
        help="CSV with a row per image, instead of printing (default: print)",
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace the CSV if it exists"
    )
    command.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a file that cannot be decoded; the others are answered "
        "either way, and the exit code is 1 with refuse, 0 with skip (default: refuse)",
    )


def add_data(command, required=True):
    """Add options that name the data."""
    command.add_argument(
        "--data",
        required=required,
        help="digits, folder:PATH or tfds:NAME"
        + ("" if required else " (default: none)"),
    )
    command.add_argument(
        "--split",
        help="train, validation, test, or all images of a folder (default: the test "
        "split, else validation)",
    )
    command.add_argument(
        "--by-order",
        action="store_true",
        help="match classes to outputs by sorted order: the n-th to the n-th output, "
        "instead of going by the names of its labels",
    )
    command.add_argument(
        "--batch-size", type=positive, default=64, help="images per step"
    )
    command.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a file that cannot be decoded",
    )


def add_preprocess(command):
    """Add the option that changes the preprocessing."""
    command.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change the preprocessing, such as mode=imagenet; may be repeated; "
        "`keras-vit show MODEL` names the fields (default: as the model says)",
    )


def add_fields(command):
    """Add the option that changes any field of a recipe."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the recipe; may be repeated (default: the recipe's)",
    )


def read_overrides(args):
    """Recipe options that were given, with --set FIELD=VALUE, as keyword arguments."""
    names = ("epochs", "batch_size", "image_size", "seed", "on_bad_image")
    names += ("random_weights", "patience")
    found = {name: getattr(args, name, None) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    return found | read_fields(args.set, "--set")


def read_fields(texts, option):
    """Parse FIELD=VALUE texts to keyword arguments: numbers, tuples or words."""
    fields = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{option}: must be FIELD=VALUE, got {text!r}.")
        try:
            fields[name.replace("-", "_")] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            fields[name.replace("-", "_")] = value
    return fields


def run_recipes(args):
    """List the recipes, or print one with its fields."""
    if args.name is None:
        rows = recipe_lines()
        return {"recipes": dict(rows)}, table(rows, ["recipe", "for"]), 0
    from keras_vit import training

    fields = dataclasses.asdict(training.get_recipe(args.name))
    page = training.recipes.describe(args.name)
    lines = [f"{name:20} {value!r}" for name, value in fields.items()]
    return {"page": page, **fields}, "\n".join([page, *lines]), 0


def recipe_lines():
    """[name, summary] of every recipe, without running its code.

    The names are those of the files; a file with ROWS has a recipe for each.
    """
    place = importlib.util.find_spec("keras_vit.training").submodule_search_locations[0]
    rows = []
    for file in pathlib.Path(place, "recipes").glob("*.py"):
        page = ast.parse(file.read_text(encoding="utf-8"))
        summaries = {
            node.targets[0].id: node.value
            for node in page.body
            if isinstance(node, ast.Assign)
        }
        names = [file.stem] if "RECIPE" in summaries else []
        if "RECIPES" in summaries and "ROWS" in summaries:
            names = [
                f"{file.stem}_{row}" for row in ast.literal_eval(summaries["ROWS"])
            ]
        said = ast.get_docstring(page).split("\n")[0]
        rows += [[name, said] for name in names]
    return sorted(rows)


def load_prepared(args):
    """Load a model with the preprocessing that the options name."""
    check_there(args)
    from keras_vit import weights

    return prepared(weights.load(args.model), args)


def check_classifier(name, model):
    """Refuse a self-supervised model.

    Args:
        name: as it was given. model: that was found.
    """
    from keras_vit.models.pretraining import PretrainingModel

    if isinstance(model, PretrainingModel):
        raise ValueError(
            f"{name}: must be a classifier, got a {type(model).__name__}, which "
            "is self-supervised (trained without labels). Judge its features with "
            "`keras-vit evaluate --probe linear,knn`, or make a classifier of it: "
            f"`keras-vit train --model {name}`."
        )


def prepared(model, args):
    """Set the model's preprocessing by the options.

    What its file did not tell, and was guessed, is said on the way.
    """
    from keras_vit import preprocess
    from keras_vit.models.input_range import stated
    from keras_vit.ranges import CUSTOM, keywords

    fields = read_fields(args.preprocess, "--preprocess")
    known = {field.name for field in dataclasses.fields(preprocess.Preprocessing)}
    if not fields.keys() <= known:
        raise ValueError(
            f"--preprocess: must name one of {', '.join(sorted(known))}, got "
            f"{', '.join(sorted(fields.keys() - known))}. `keras-vit show` tells what "
            "the model says."
        )
    preprocessing, source = stated(model)
    if fields:
        model.preprocessing = _changed(model, preprocessing, fields)
    preprocessing = stated(model)[0]
    if preprocessing is not None and preprocessing.mode == CUSTOM:
        where = f"{keywords(preprocessing.range)} of pixels / 255"
        print(f"note: images are brought to the range of {where}", file=sys.stderr)
    report = getattr(model, "loading_report", None)
    for said in (*(() if report is None else report.notes), source):
        if said and not fields.keys() & RANGE:
            print(f"note: {said}", file=sys.stderr)
    return model


def _changed(model, preprocessing, fields):
    """Change fields of a preprocessing; without one, a range is required."""
    from keras_vit import preprocess
    from keras_vit.models.input_range import UNKNOWN

    if preprocessing is None and not fields.keys() & RANGE:
        raise ValueError(f"--preprocess: needs a range as well: {UNKNOWN}.")
    if preprocessing is None:
        size = tuple(side or 224 for side in model.input_shape[1:3])
        preprocessing = preprocess.Preprocessing(image_size=size)
    return preprocessing.changed(**fields)


def load_split(args, model):
    """Load the images that the options name, preprocessed for a model."""
    from keras_vit.models.output_activation import labels_of

    if args.data is None:
        raise ValueError(
            "--data: needed to compare on real images. Give digits, folder:PATH or "
            "tfds:NAME."
        )
    names = labels_of(model)
    data, info = open_split(args, model, None if args.by_order else names)
    outputs = model.output_shape[-1]
    if info.classes != outputs and not args.by_order:
        raise DataError(
            f"{args.data}: must have as many classes as the model has outputs, "
            f"{outputs}, got {info.classes}, and the model does not name its own. "
            "Evaluate on the classes it was trained for, or pass --by-order."
        )
    return data, info


def open_split(args, model, labels=None):
    """Open the images that the options name; see `load_split`."""
    from keras_vit import training

    return training.load_split(
        args.data,
        args.split,
        batch_size=args.batch_size,
        preprocessing=_preparation(model),
        on_bad_image=args.on_bad_image,
        verbose=loudness(args),
        labels=labels,
    )


def _preparation(model):
    """Preprocessing of a model, or of a model inside.

    Raises:
        ValueError: when nothing says which pixels it takes.
    """
    from keras_vit.models.input_range import UNKNOWN, stated

    note, _ = stated(model)
    if note is None:
        raise ValueError(f"{model.name}: {UNKNOWN}.")
    return note


def run_predict(args):
    """Print top classes with probabilities."""
    check_there(args)
    if args.csv:
        files.check_target(args.csv, args.overwrite)
    from keras_vit.cli.predict import format_predictions, listed, predict_all

    paths, notes = listed(args.images)
    model = load_prepared(args)
    check_classifier(args.model, model)
    found, bad = predict_all(args, model, paths)
    return format_predictions(args, paths, found, bad, notes)
