"""`keras-vit prepare`, `pseudo-label`, `data`, `inspect-data`."""

import pathlib

from keras_vit.cli.option_rules import loudness, positive
from keras_vit.cli.table import table
from keras_vit.cli.training import (
    add_fields,
    add_preprocess,
    load_prepared,
    read_fields,
)

SHOWN = 60  # classes in the table of a terminal


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    prepare = commands.add_parser(
        "prepare", help="write a folder of images as sharded TFRecords (TFDS)"
    )
    prepare.add_argument("folder", help="class folders, or train/, val/, test/ of them")
    prepare.add_argument("output", help="folder to write, read with tfds:OUTPUT")
    prepare.add_argument(
        "--shards", type=positive, help="files per split (default: by size)"
    )
    prepare.add_argument(
        "--on-bad-image",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do with a file that cannot be decoded",
    )
    prepare.add_argument(
        "--overwrite", action="store_true", help="replace an existing output"
    )
    prepare.set_defaults(run=run_prepare)
    label = commands.add_parser(
        "pseudo-label", help="label images by a teacher, for recipe noisy_student"
    )
    label.add_argument("model", help="the teacher: a .keras file or a checkpoint")
    label.add_argument("folder", help="images, in folders of any depth")
    label.add_argument("--labelled", required=True, help="folder:PATH with the classes")
    label.add_argument("--output", required=True, help=".npz, read with pseudo:OUTPUT")
    label.add_argument(
        "--confidence", type=float, default=0.3, help="lowest top-1 probability, 0..1"
    )
    label.add_argument(
        "--per-class", type=positive, help="images kept (default: their mean)"
    )
    label.add_argument("--batch-size", type=positive, default=64, help="images a step")
    add_preprocess(label)
    label.add_argument(
        "--overwrite", action="store_true", help="replace an existing output"
    )
    label.set_defaults(run=run_label)
    _add_data(commands)
    _add_inspect(commands)


def _add_inspect(commands):
    inspect = commands.add_parser(
        "inspect-data", help="draw a training batch after augmentation"
    )
    inspect.add_argument(
        "data", help="digits, folder:PATH, tfds:NAME, tfds:PATH or vtab:TASK"
    )
    inspect.add_argument("--output", required=True, help="picture, such as batch.png")
    inspect.add_argument("--recipe", default="finetune", help="see `keras-vit recipes`")
    inspect.add_argument(
        "--augment", help="augmentation, see docs/data.md (default: the recipe's)"
    )
    inspect.add_argument(
        "--image-size", type=positive, help="side in px (default: the recipe's)"
    )
    inspect.add_argument("--batch-size", type=positive, default=16, help="images drawn")
    inspect.add_argument("--step", type=int, default=0, help="training step to draw")
    inspect.add_argument(
        "--overwrite", action="store_true", help="replace an existing output"
    )
    add_fields(inspect)
    inspect.set_defaults(run=run_inspect)


def _add_data(commands):
    look = commands.add_parser(
        "data",
        help="count the splits and classes of a folder of images, with skipped files, "
        "imbalance, duplicates",
    )
    look.add_argument("path", help="folder, or digits, folder:PATH, tfds:NAME")
    look.add_argument(
        "--sheet", metavar="PNG", help="draw some images of every class (default: no)"
    )
    look.add_argument(
        "--quick", action="store_true", help="read file names only, open no file"
    )
    look.add_argument(
        "--overwrite", action="store_true", help="replace the PNG if it exists"
    )
    look.set_defaults(run=run_data)


def run_data(args):
    """Count images per class and split, with skipped files and duplicates."""
    from keras_vit import files, image_overview

    kind, _, rest = args.path.partition(":")
    path = rest if kind == "folder" and rest else args.path
    if path is args.path and not pathlib.Path(path).expanduser().is_dir():
        return _run_source(args)
    if args.sheet:
        files.check_target(args.sheet, args.overwrite)
    overview = image_overview.look_at(path, args.quick, verbose=loudness(args))
    answer = overview.to_dict()
    lines = [_counts(overview), *(f"note: {note}" for note in overview.scan.notes)]
    lines += overview.lines()
    if args.sheet:
        notes = image_overview.draw_samples(overview, args.sheet, args.overwrite)
        answer |= {"sheet": args.sheet, "notes": answer["notes"] + notes}
        lines += [f"sheet: {args.sheet}", *notes]
    if overview.refusal:
        lines.append(f"training refuses it: {overview.refusal}")
    return answer, "\n".join(lines), 1 if overview.refusal else 0


def _counts(overview):
    """Table of a line per class, a column per split."""
    counts, scan = overview.counts(), overview.scan
    rows = [[name, *(c[name] for c in counts.values())] for name in scan.class_names]
    total = sum(sum(column.values()) for column in counts.values())
    head = f"{scan.root}: {scan.layout}, {len(rows)} classes, {total} images\n"
    more = f"\n{len(rows) - SHOWN} more with --json" if len(rows) > SHOWN else ""
    sums = ["all", *(sum(column.values()) for column in counts.values())]
    return head + table([*rows[:SHOWN], sums], ["class", *counts]) + more


def _run_source(args):
    """Classes and counts of a data source that is not a folder."""
    from keras_vit import training
    from keras_vit.cli.option_rules import UsageError

    if args.sheet or args.quick:
        raise UsageError(
            f"--sheet, --quick: go with a folder of images, got {args.path}. "
            "`keras-vit inspect-data` draws batches of every source."
        )
    source = training.data.sources.open_source(args.path, verbose=0)
    counts = {name: split.size for name, split in source.splits.items()}
    answer = {"classes": list(source.class_names), "counts": counts}
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    names = ", ".join(source.class_names[:SHOWN])
    classes = f"{len(source.class_names)} classes: {names}"
    return answer, f"{args.path}: {shown} images; {classes}", 0


def run_prepare(args):
    """Write the data set, then say how to read it."""
    from keras_vit import training

    answer = training.prepare(
        args.folder,
        args.output,
        args.shards,
        args.on_bad_image,
        args.overwrite,
        verbose=loudness(args),
    )
    counts = ", ".join(f"{n} {split}" for split, n in answer["counts"].items())
    text = f"{answer['name']}: {counts} images, {len(answer['classes'])} classes"
    return answer, f"{text}. Read it with tfds:{args.output}", 0


def run_label(args):
    """Pseudo-label the images, then say how to train on them."""
    from keras_vit import files, training

    files.check_target(args.output, args.overwrite)
    answer = training.pseudo_label(
        load_prepared(args),
        args.folder,
        args.labelled,
        args.output,
        args.confidence,
        args.per_class,
        args.batch_size,
        overwrite=args.overwrite,
        verbose=loudness(args),
    )
    text = (
        f"{answer['confident']} of {answer['images']} images are sure, "
        f"{answer['per_class']} per class are taken, {answer['copies']} of them "
        f"copies. Train with --recipe noisy_student --data pseudo:{args.output}"
    )
    return answer, text, 0


def run_inspect(args):
    """Draw the batch, then list its images."""
    from keras_vit import training

    fields = {name: getattr(args, name) for name in ("augment", "image_size")}
    fields = {name: value for name, value in fields.items() if value is not None}
    answer = training.draw_batch(
        args.data,
        args.output,
        args.recipe,
        args.step,
        args.overwrite,
        batch_size=args.batch_size,
        **fields,
        **read_fields(args.set, "--set"),
    )
    rows = zip(answer["images"], answer["labels"], strict=True)
    lines = [f"{name}  {label}" for name, label in rows]
    lines += [f"note: {note}" for note in answer["notes"]]
    return answer, "\n".join([*lines, f"{args.output}: {answer['augment']}"]), 0
