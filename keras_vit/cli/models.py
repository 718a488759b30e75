"""`keras-vit list` and `keras-vit show`: models and checkpoints."""

import pathlib

from keras_vit import variants
from keras_vit.cli import model_facts
from keras_vit.cli.table import table


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    listing = commands.add_parser("list", help="list models and published checkpoints")
    listing.add_argument(
        "pattern", nargs="?", default="*", help="name pattern like '*B*16*'"
    )
    listing.set_defaults(run=run_list)
    show = commands.add_parser(
        "show", help="describe a model, a checkpoint or a file, without building it"
    )
    name = show.add_argument(
        "name", help="a name of `keras-vit list`, a file, a run's folder, or hf://..."
    )
    name.completer = complete
    show.add_argument("--layers", action="store_true", help="also one line per layer")
    show.set_defaults(run=run_show)


def complete(prefix, **_):
    """Complete names of models, checkpoints and files for a shell."""
    import argcomplete

    from keras_vit.weights import list_checkpoints

    names = [*variants.list_models(), *list_checkpoints()]
    return [*names, *argcomplete.completers.FilesCompleter()(prefix)]


def run_list(args):
    """List models, then checkpoints, from tables and without Keras."""
    from keras_vit.weights import list_checkpoints

    rows = [_row(name) for name in variants.list_models(args.pattern)]
    names = list_checkpoints(args.pattern)
    if not rows and not names:
        raise ValueError(
            f"pattern: must match a model or checkpoint, got {args.pattern!r}. "
            "Try `keras-vit list` without a pattern, or '*B*16*'."
        )
    head = ["model", "parameters", "width", "depth", "heads", "patch px", "px"]
    text = table([list(row.values()) for row in rows], head) if rows else ""
    if names:
        text += f"\n\n{len(names)} checkpoints:\n  " + "\n  ".join(names)
    return {"models": rows, "checkpoints": names}, text.strip(), 0


def _row(name):
    variant = variants.parse(name)
    if variant.family == "BiT":  # a ResNet: features, units, no heads and patches
        numbers = 4 * variant.filters[-1], sum(variant.units), 0, 0
    else:
        size = variants.SIZES[variant.size]
        numbers = size.width, size.depth, size.heads, variant.patch_size
    columns = ("width", "depth", "heads", "patch_size")
    return {
        "name": name,
        "parameters": variants.PARAMETERS[name],
        **dict(zip(columns, numbers, strict=True)),
        "image_size": 224,
    }


def run_show(args):
    """Describe a file by its header, or a name by the tables."""
    from keras_vit import weights

    args.name = weights.places.find(args.name)
    if args.name.startswith(weights.hub.SCHEME):
        args.name = str(weights.hub.fetch_repository(args.name, not args.json))
    if pathlib.Path(args.name).exists() and not args.name.endswith(".keras"):
        facts = weights.describe(args.name)
        return facts.to_dict(), str(facts), 0
    facts = None if args.layers else model_facts.counted(args.name)
    if facts is not None:
        return facts, "\n".join(model_facts.lines(facts)), 0
    model, row = model_facts.find(args.name)
    facts = model_facts.describe(model, row)
    lines = model_facts.lines(facts)
    if args.layers:
        model.summary(print_fn=lines.append, expand_nested=True)
    return facts, "\n".join(lines), 0
