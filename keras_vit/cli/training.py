"""`keras-vit recipes`, `train`, `evaluate`, `predict`."""

import ast

from keras_vit import preprocess
from keras_vit.cli.models import load
from keras_vit.cli.table import table


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    recipes = commands.add_parser("recipes", help="training recipes")
    recipes.set_defaults(run=run_recipes)
    _add_train(commands)
    evaluate = commands.add_parser("evaluate", help="top-1 and top-5 of a model")
    evaluate.add_argument("model", help="a .keras file or a checkpoint")
    add_data(evaluate)
    evaluate.set_defaults(run=run_evaluate)
    predict = commands.add_parser("predict", help="name what images show")
    predict.add_argument("model", help="a .keras file or a checkpoint")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    predict.add_argument("--top", type=int, default=5, help="names per image")
    predict.set_defaults(run=run_predict)


def add_data(command, required=True):
    """The options that say which images."""
    command.add_argument(
        "--data", required=required, help="digits, folder:PATH or tfds:NAME"
    )
    command.add_argument("--split", default="test", help="which part (default: test)")
    command.add_argument("--batch-size", type=int, default=64)
    command.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a file that is no image (default: refuse)",
    )


def _add_train(commands):
    train = commands.add_parser("train", help="train or fine-tune a model")
    train.add_argument("--recipe", default="finetune", help="see `keras-vit recipes`")
    train.add_argument("--data", help="digits, folder:PATH or tfds:NAME")
    train.add_argument("--model", help="a .keras file, a checkpoint, or a model name")
    train.add_argument("--output", required=True, help="folder for model and logs")
    train.add_argument("--epochs", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--image-size", type=int, help="px")
    train.add_argument("--seed", type=int)
    train.add_argument(
        "--strategy", choices=("auto", "one", "mirrored"), default="auto"
    )
    train.add_argument("--on-bad-image", choices=("refuse", "skip"), default="refuse")
    train.add_argument("--overwrite", action="store_true")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of the recipe; may be repeated",
    )
    train.set_defaults(run=run_train)


def read_overrides(args):
    """Options that were given, and each --set FIELD=VALUE, as keyword arguments."""
    names = ("epochs", "batch_size", "image_size", "seed")
    found = {name: getattr(args, name) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set: must be FIELD=VALUE, got {text!r}.")
        try:
            found[name.replace("-", "_")] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name.replace("-", "_")] = value
    return found


def run_recipes(args):
    """One line per recipe."""
    from keras_vit import training

    rows = [
        [name, (training.get_recipe(name).description or "").strip()]
        for name in training.list_recipes()
    ]
    return {"recipes": [row[0] for row in rows]}, table(rows, ["recipe", "for"]), 0
