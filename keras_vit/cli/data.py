"""`keras-vit prepare`, `inspect-data`."""

from keras_vit.cli.training import add_fields, read_fields


def add_commands(commands):
    """Add the sub-commands of this file to the parser."""
    prepare = commands.add_parser(
        "prepare", help="write a folder of images as sharded TFRecords (TFDS)"
    )
    prepare.add_argument("folder", help="class folders, or train/, val/, test/ of them")
    prepare.add_argument("output", help="folder to write, read with tfds:OUTPUT")
    prepare.add_argument("--shards", type=int, help="files per split")
    prepare.add_argument("--on-bad-image", choices=("refuse", "skip"), default="refuse")
    prepare.add_argument("--overwrite", action="store_true")
    prepare.set_defaults(run=run_prepare)
    inspect = commands.add_parser(
        "inspect-data", help="draw a training batch as the model sees it"
    )
    inspect.add_argument(
        "data", help="digits, folder:PATH, tfds:NAME, tfds:PATH or vtab:TASK"
    )
    inspect.add_argument("--output", required=True, help="picture, such as batch.png")
    inspect.add_argument("--recipe", default="finetune", help="see `keras-vit recipes`")
    inspect.add_argument("--augment", help="instead of the recipe's")
    inspect.add_argument("--image-size", type=int, help="px")
    inspect.add_argument("--batch-size", type=int, default=16, help="images drawn")
    inspect.add_argument("--step", type=int, default=0, help="number of the batch")
    inspect.add_argument("--overwrite", action="store_true")
    add_fields(inspect)
    inspect.set_defaults(run=run_inspect)


def run_prepare(args):
    """Write the set, then say how to read it."""
    from keras_vit import training

    answer = training.prepare(
        args.folder,
        args.output,
        args.shards,
        args.on_bad_image,
        args.overwrite,
        verbose=0 if args.json else 1,
    )
    counts = ", ".join(f"{n} {split}" for split, n in answer["counts"].items())
    text = f"{answer['name']}: {counts} images, {len(answer['classes'])} classes"
    return answer, f"{text}. Read it with tfds:{args.output}", 0


def run_inspect(args):
    """Draw the batch, then name its images."""
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
    return answer, "\n".join([*lines, f"{args.output}: {answer['augment']}"]), 0
