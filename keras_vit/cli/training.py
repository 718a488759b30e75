"""`keras-vit recipes`, `train`, `predict`."""

import ast
import dataclasses
import pathlib
import sys

from keras_vit import files, preprocess, weights
from keras_vit.cli.predicting import add_options, listed, predict_all, told
from keras_vit.cli.table import table
from keras_vit.cli.usage import UsageError, positive
from keras_vit.cli.workers import launch
from keras_vit.errors import DataError
from keras_vit.models.pretraining import PretrainingModel
from keras_vit.ranges import CUSTOM, keywords

RANGE = frozenset({"mode", "mean", "std", "scale"})


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    recipes = commands.add_parser("recipes", help="list the training recipes")
    recipes.add_argument("name", nargs="?", help="show all of this one")
    recipes.set_defaults(run=run_recipes)
    _add_train(commands)
    predict = commands.add_parser("predict", help="say what images show")
    predict.add_argument("model", help="a .keras file or a checkpoint")
    predict.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, or folders of them"
    )
    predict.add_argument("--top", type=int, default=5, help="names per image")
    add_options(predict)
    add_preprocess(predict)
    predict.set_defaults(run=run_predict)


def add_data(command, required=True):
    """Add the options that say which images."""
    command.add_argument(
        "--data", required=required, help="digits, folder:PATH or tfds:NAME"
    )
    command.add_argument(
        "--split",
        help="train, validation, test, or all images of a folder (default: the test "
        "split, else validation)",
    )
    command.add_argument(
        "--by-order",
        action="store_true",
        help="take the n-th class, in sorted order, for the n-th output of the model, "
        "instead of going by the names of its labels",
    )
    command.add_argument("--batch-size", type=int, default=64)
    command.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a file that is no image (default: refuse)",
    )


def add_preprocess(command):
    """Add the option that changes how images are prepared."""
    fields = ", ".join(f.name for f in dataclasses.fields(preprocess.Preprocessing))
    command.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="prepare images in another way than the model says; may be repeated; "
        f"fields: {fields}",
    )


def _add_train(commands):
    train = commands.add_parser(
        "train",
        help="train or fine-tune a model",
        allow_abbrev=False,  # the words are passed on, without --workers
    )
    train.add_argument("--recipe", default="finetune", help="see `keras-vit recipes`")
    train.add_argument("--data", help="digits, folder:PATH or tfds:NAME")
    train.add_argument("--model", help="a .keras file, a checkpoint, or a model name")
    train.add_argument("--output", help="folder for model and logs")
    train.add_argument(
        "--dry-run",
        nargs="?",
        const=True,
        metavar="PICTURE.svg",
        help="start nothing: print steps, learning rate, parameters and memory, and "
        "draw the learning rate into the file, if one is named",
    )
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--image-size", type=int, help="px")
    train.add_argument("--seed", type=int)
    train.add_argument(
        "--strategy",
        default="auto",
        help="auto, one, mirrored, multi_worker or tpu; with KERAS_BACKEND=jax auto, "
        "one, data_parallel or model_parallel (default: auto, all there is)",
    )
    train.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="start N processes on this machine that train one model together",
    )
    train.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip", "stop"),
        help="what to do with a file that is no image (default: the recipe's, refuse)",
    )
    train.add_argument("--overwrite", action="store_true")
    add_fields(train)
    train.set_defaults(run=run_train)


def add_fields(command):
    """Add the option that changes any field of a recipe."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the recipe; may be repeated",
    )


def read_overrides(args):
    """Options that were given, and each --set FIELD=VALUE, as keyword arguments."""
    names = ("epochs", "batch_size", "image_size", "seed", "on_bad_image")
    found = {name: getattr(args, name, None) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    return found | read_fields(args.set, "--set")


def read_fields(texts, option):
    """FIELD=VALUE texts as keyword arguments; a value is a number, tuple or word."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{option}: must be FIELD=VALUE, got {text!r}.")
        try:
            found[name.replace("-", "_")] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name.replace("-", "_")] = value
    return found


def run_recipes(args):
    """One line per recipe, or the page of one with all its fields."""
    from keras_vit import training

    if args.name is not None:
        fields = dataclasses.asdict(training.get_recipe(args.name))
        page = training.recipes.describe(args.name)
        lines = [f"{name:20} {value!r}" for name, value in fields.items()]
        return {"page": page, **fields}, "\n".join([page, *lines]), 0
    rows = []
    for name in training.list_recipes():
        rows.append([name, training.recipes.describe(name).split("\n")[0]])
    return {"recipes": dict(rows)}, table(rows, ["recipe", "for"]), 0


def run_train(args):
    """Train, then say where everything is."""
    if args.workers is not None:
        sys.exit(launch(args))
    from keras_vit import training

    if args.dry_run is None and args.output is None:
        raise UsageError("--output: needed for models and logs. Give a folder.")
    strategy = training.choose_strategy(args.strategy)  # before any model is loaded
    recipe = training.get_recipe(args.recipe, **read_overrides(args))
    if args.dry_run is not None:
        return _run_dry(args, recipe, strategy)
    result = training.fit(
        recipe=recipe,
        model=args.model,
        data=args.data,
        output_dir=args.output,
        strategy=strategy,
        overwrite=args.overwrite,
        verbose=0 if args.json else 1,
    )
    answer = {
        "model": str(pathlib.Path(args.output) / "best.keras"),
        "best_epoch": result.best_epoch,
        "classes": list(result.info.class_names),
        "history": result.history,
        "notes": list(result.info.notes),
    }
    text = f"best epoch {result.best_epoch}: {answer['model']}"
    return answer, text, 0


def _run_dry(args, recipe, strategy):
    """What a run would be."""
    from keras_vit import files, training

    picture = None if args.dry_run is True else args.dry_run
    if picture is not None:
        if pathlib.Path(picture).suffix != ".svg":
            raise UsageError(f"--dry-run: the picture must end in .svg, got {picture}.")
        files.check_target(picture, args.overwrite)
    plan = training.dry_run(
        recipe,
        args.model,
        args.data,
        strategy=strategy,
        verbose=0 if args.json else 1,
    )
    if picture is not None:
        plan.save_picture(picture, args.overwrite)
    return plan.summary(), plan.text(), 0


def load_prepared(args):
    """The model that the options name, with their way to prepare images."""
    return prepared(weights.load(args.model), args)


def check_classifier(name, model):
    """Refuse a model that has learnt without labels.

    Args:
        name: as it was given. model: that was found.
    """
    if isinstance(model, PretrainingModel):
        raise ValueError(
            f"{name}: must be a classifier, got a {type(model).__name__}, which "
            "has learnt without labels. Judge its features with `keras-vit evaluate "
            "--probe linear,knn`, or make a classifier of it: `keras-vit train --model "
            f"{name}`."
        )


def prepared(model, args):
    """A model with the way to prepare images that the options say.

    What its file did not tell, and was guessed, is said on the way.
    """
    from keras_vit.models.stating import stated

    fields = read_fields(args.preprocess, "--preprocess")
    known = {field.name for field in dataclasses.fields(preprocess.Preprocessing)}
    if not fields.keys() <= known:
        raise ValueError(
            f"--preprocess: must name one of {', '.join(sorted(known))}, got "
            f"{', '.join(sorted(fields.keys() - known))}. `keras-vit show` tells what "
            "the model says."
        )
    note, found = stated(model)
    if fields:
        model.preprocessing = _changed(model, note, fields)
    note = stated(model)[0]
    if note is not None and note.mode == CUSTOM:
        where = f"{keywords(note.range)} of pixels / 255"
        print(f"note: images are brought to the range of {where}", file=sys.stderr)
    report = getattr(model, "loading_report", None)
    for said in (*(() if report is None else report.notes), found):
        if said and not fields.keys() & RANGE:
            print(f"note: {said}", file=sys.stderr)
    return model


def _changed(model, note, fields):
    """A preparation with other fields; of a model without one, the range is needed."""
    from keras_vit.models.stating import UNKNOWN

    if note is None and not fields.keys() & RANGE:
        raise ValueError(f"--preprocess: needs a range as well: {UNKNOWN}.")
    if note is None:
        size = tuple(side or 224 for side in model.input_shape[1:3])
        note = preprocess.Preprocessing(image_size=size)
    return note.changed(**fields)


def load_split(args, model):
    """The images that the options ask for, prepared for a model."""
    from keras_vit.models.endings import labels_of

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
    """The images that the options name, as a model takes them; see `load_split`."""
    from keras_vit import training

    return training.load_split(
        args.data,
        args.split,
        batch_size=args.batch_size,
        preprocessing=_preparation(model),
        on_bad_image=args.on_bad_image,
        verbose=0 if args.json else 1,
        labels=labels,
    )


def _preparation(model):
    """A model's way to prepare images, or that of a model inside.

    Raises:
        ValueError: when nothing says which pixels it takes.
    """
    from keras_vit.models.stating import UNKNOWN, stated

    note, _ = stated(model)
    if note is None:
        raise ValueError(f"{model.name}: {UNKNOWN}.")
    return note


def run_predict(args):
    """Names with probabilities, best first."""
    if args.csv:
        files.check_target(args.csv, args.overwrite)
    paths, notes = listed(args.images)
    model = load_prepared(args)
    check_classifier(args.model, model)
    found, bad = predict_all(args, model, paths)
    return told(args, paths, found, bad, notes)
