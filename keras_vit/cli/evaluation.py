"""`keras-vit evaluate`: scores of a classifier, or probes of its features."""

from keras_vit.cli.table import table
from keras_vit.cli.training import add_data, add_preprocess, load_prepared, load_split
from keras_vit.cli.usage import UsageError, words

PROBES = ("linear", "few_shot", "knn")
SHOWN = 60  # classes in the table of a terminal


def add_commands(commands):
    """Add the sub-command to the parser."""
    evaluate = commands.add_parser(
        "evaluate", help="accuracy, calibration, mistakes, or probes of the features"
    )
    evaluate.add_argument("model", help="a .keras file or a checkpoint")
    add_data(evaluate)
    add_preprocess(evaluate)
    evaluate.add_argument(
        "--per-class", action="store_true", help="also a line per class"
    )
    evaluate.add_argument(
        "--confusion", metavar="PNG", help="draw which classes are taken for which"
    )
    evaluate.add_argument(
        "--overwrite", action="store_true", help="replace the PNG if it exists"
    )
    evaluate.add_argument(
        "--real",
        metavar="JSON",
        help="also score ImageNet's validation images by their reassessed labels: "
        "real.json of google-research/reassessed-imagenet",
    )
    evaluate.add_argument(
        "--probe",
        type=words,
        metavar="KIND[,KIND]",
        help=f"instead: {', '.join(PROBES)}, learnt on the features of the training "
        "split; the head is not used",
    )
    evaluate.set_defaults(run=run_evaluate)


def run_evaluate(args):
    """Every score of a split, or probes on it."""
    if args.probe is not None:
        return run_probes(args)
    from keras_vit import files, training

    if args.confusion:
        files.check_target(args.confusion, args.overwrite)
    model = load_prepared(args)
    dataset, info = load_split(args, model)
    labels = _real_labels(args, info)
    names = None if args.by_order else info.class_names
    report = training.evaluate.report(model, dataset, names, verbose=_verbose(args))
    answer = {"data": info.source, "skipped": list(info.skipped), **report.to_dict()}
    lines = [str(report)]
    if labels is not None:
        found = training.evaluate.real_share(report.outcomes, labels)
        answer["real"] = found
        excluded = f"{found['count']} images, {found['excluded']} without a label"
        lines.append(f"ReaL {found['real']:.2%}, {excluded}")
    if info.skipped:
        lines.append(f"{len(info.skipped)} skipped, which are no images")
    if args.per_class:
        lines.append(_classes(answer["per_class"]))
    if args.confusion:
        path = report.plot_confusion(args.confusion, args.overwrite)
        answer["confusion"] = str(path)
        lines.append(f"confusion: {path}")
    return answer, "\n".join(lines), 0


def _verbose(args):
    return 0 if args.json else 1


def _real_labels(args, info):
    """Reassessed labels of the images, before anything slow, or None."""
    if args.real is None:
        return None
    from keras_vit import training

    names = training.image_names(args.data, args.split, info.skipped)
    return training.evaluate.real_labels(args.real, names)


def _classes(rows):
    """A line per class, worst first."""
    rows = sorted(rows, key=lambda row: row["f1"])
    head = ["class", "images", "recall", "precision", "f1"]
    keys = ("recall", "precision", "f1")
    cells = [
        [row["name"], row["count"], *(f"{row[key]:.1%}" for key in keys)]
        for row in rows[:SHOWN]
    ]
    more = f"\n{len(rows) - SHOWN} more with --json" if len(rows) > SHOWN else ""
    return table(cells, head) + more


def run_probes(args):
    """What simple classifiers read out of the features."""
    if args.confusion or args.real or args.per_class:
        raise UsageError(
            "--probe: learns a classifier of its own, got options about the head of "
            "the model too. Leave out --confusion, --real and --per-class."
        )
    from keras_vit import training

    training.evaluate.check_kinds(args.probe)
    model = load_prepared(args)
    splits = []
    for split in ("train", args.split):
        data, info = training.load_split(
            args.data,
            split,
            batch_size=args.batch_size,
            preprocessing=model.preprocessing,
            on_bad_image=args.on_bad_image,
            verbose=_verbose(args),
        )
        splits.append(data)
    scores = training.evaluate.probes(model, *splits, args.probe, _verbose(args))
    tested = args.split or info.test_split
    answer = {"data": info.source, "split": tested, **scores}
    rows = [[name, f"{share:.2%}"] for name, share in scores.items()]
    return answer, table(rows, ["probe", f"on {tested}"]), 0
