"""`keras-vit train`."""

import pathlib
import shlex
import sys

from keras_vit.cli.launch import launch
from keras_vit.cli.option_rules import UsageError, check_there, loudness, positive
from keras_vit.cli.training import add_fields, read_overrides


def add_commands(commands):
    """Add the sub-command to the parser."""
    train = commands.add_parser(
        "train",
        help="train or fine-tune a model",
        allow_abbrev=False,  # the words are passed on, without --workers
    )
    train.add_argument("--recipe", default="finetune", help="see `keras-vit recipes`")
    train.add_argument(
        "--data", help="digits, folder:PATH or tfds:NAME (default: the recipe's)"
    )
    train.add_argument(
        "--model",
        help="a .keras file, the folder of a run, a checkpoint, or a model name for "
        "random weights (default: the recipe's)",
    )
    train.add_argument("--output", help="folder for model and logs (no default)")
    train.add_argument(
        "--dry-run",
        nargs="?",
        const=True,
        metavar="PICTURE.svg",
        help="do not train: print steps, learning rate, parameters and memory, and "
        "draw the learning rate into the file, if one is named (default: train)",
    )
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
        help="train one model in N processes of this machine (default: one)",
    )
    train.add_argument(
        "--overwrite", action="store_true", help="replace an earlier run"
    )
    train.add_argument(
        "--more-epochs",
        type=positive,
        metavar="N",
        help="further epochs for the finished run in --output (default: a new run)",
    )
    _add_recipe(train)
    add_fields(train)
    train.set_defaults(run=run_train)


def _add_recipe(train):
    """Add options of the recipe fields that are changed most often."""
    train.add_argument(
        "--epochs", type=positive, help="passes over the data (default: the recipe's)"
    )
    train.add_argument(
        "--batch-size", type=positive, help="images per step (default: the recipe's)"
    )
    train.add_argument(
        "--image-size", type=positive, help="side in px (default: the recipe's)"
    )
    train.add_argument("--seed", type=int, help="random seed (default: the recipe's)")
    train.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip", "stop"),
        help="what to do with an undecodable file (default: the recipe's, refuse)",
    )
    train.add_argument(
        "--random-weights",
        action="store_true",
        default=None,
        help="allow random initial weights in a fine-tuning recipe",
    )
    train.add_argument(
        "--patience",
        type=positive,
        metavar="EPOCHS",
        help="early stopping after so many without a gain (default: the recipe's)",
    )


def run_train(args):
    """Train, then print the paths of the results."""
    if args.workers is not None:
        sys.exit(launch(args))
    if args.dry_run is None and args.output is None:
        raise UsageError("--output: needed for models and logs. Give a folder.")
    if args.more_epochs is not None:
        return _run_longer(args)
    check_there(args)
    from keras_vit import training

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
        verbose=loudness(args),
    )
    return _trained(args, result)


def _run_longer(args):
    """Train a finished run for more epochs, with its recorded recipe."""
    from keras_vit import training

    given = {**read_overrides(args), "model": args.model, "dry_run": args.dry_run}
    given |= {"overwrite": args.overwrite or None}
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UsageError(
            f"--more-epochs: goes on with the recipe of {args.output}, got "
            f"{', '.join(wrong)} too. Leave it out, or start another run with --model "
            f"{args.output}."
        )
    result = training.go_on(
        args.output,
        args.more_epochs,
        args.data,
        args.strategy,
        verbose=loudness(args),
    )
    return _trained(args, result)


def _trained(args, result):
    """Print the metrics of a run."""
    answer = {
        "model": str(pathlib.Path(args.output) / "best.keras"),
        "best_epoch": result.best_epoch,
        "weights": result.weights,
        "classes": list(result.info.class_names),
        "history": result.history,
        "notes": list(result.info.notes),
    }
    return answer, _onwards(args, result), 0


def _onwards(args, result):
    """What usually comes next; `fit` told the rest."""
    from keras_vit.models.pretraining import PretrainingModel

    folder = shlex.quote(args.output)
    if not loudness(args):
        return (
            f"best epoch {result.best_epoch}: {pathlib.Path(args.output, 'best.keras')}"
        )
    data = shlex.quote(str(result.recipe.data))
    judged = f"keras-vit evaluate {folder} --data {data}"
    if not isinstance(result.model, PretrainingModel):
        return f"next: {judged}\n      keras-vit export {folder} app/ --for android"
    return f"next: {judged} --probe linear"


def _run_dry(args, recipe, strategy):
    """Print the plan of a run without training."""
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
        verbose=loudness(args),
    )
    if picture is not None:
        plan.save_picture(picture, args.overwrite)
    return plan.summary(), plan.text(), 0
