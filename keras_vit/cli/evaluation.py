"""`keras-vit evaluate`: accuracy of a classifier, or probes of several encoders."""

import pathlib

from keras_vit.cli.option_rules import RANDOM, UsageError, check_there, loudness, words
from keras_vit.cli.table import table
from keras_vit.cli.training import (
    add_data,
    add_preprocess,
    check_classifier,
    load_prepared,
    load_split,
    open_split,
    prepared,
)

PROBES = ("linear", "few_shot", "knn", "lars", "depth")
PIXELS = "pixels"
SHOWN = 60  # classes in the table of a terminal


def add_commands(commands):
    """Add the sub-command to the parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="accuracy, calibration, mistakes, or probes of features; the loss of "
        "a model that learns without labels",
    )
    evaluate.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help=f"a .keras file or a checkpoint; with --probe several, {RANDOM}MODEL for "
        f"the same model untrained, {PIXELS} for the image itself",
    )
    add_data(evaluate)
    add_preprocess(evaluate)
    evaluate.add_argument(
        "--per-class", action="store_true", help="also print accuracy per class"
    )
    evaluate.add_argument(
        "--confusion",
        metavar="PNG",
        help="draw the confusion matrix (default: no)",
    )
    evaluate.add_argument(
        "--overwrite", action="store_true", help="replace the PNG if it exists"
    )
    evaluate.add_argument(
        "--real",
        metavar="JSON",
        help="also score ImageNet's validation images by their reassessed labels: "
        "real.json of google-research/reassessed-imagenet (default: no)",
    )
    evaluate.add_argument(
        "--probe",
        type=words,
        metavar="KIND[,KIND]",
        help=f"probes instead: {', '.join(PROBES)}, trained on the features of the "
        "training split; the heads are not used; a table with a row per model "
        "(default: scores of the head)",
    )
    evaluate.add_argument(
        "--pooling",
        choices=("token", "gap"),
        help="pooling of the tokens, for --probe (default: the model's own)",
    )
    evaluate.add_argument(
        "--picture",
        metavar="PNG",
        help="draw accuracy over depth, for --probe depth (default: no)",
    )
    evaluate.set_defaults(run=run_evaluate)


def run_evaluate(args):
    """Score a classifier on a split, or run probes."""
    if args.probe is not None:
        return run_probes(args)
    _only_scores(args)
    check_there(args)
    from keras_vit import files, training
    from keras_vit.intervals import percents, shown
    from keras_vit.models.pretraining import PretrainingModel

    if args.confusion:
        files.check_target(args.confusion, args.overwrite)
    model = load_prepared(args)
    if isinstance(model, PretrainingModel) and model.views == 1:
        return _run_own_loss(args, model)
    check_classifier(args.model, model)
    dataset, info = load_split(args, model)
    labels = _real_labels(args, info)
    names = None if args.by_order else info.class_names
    report = training.evaluate.report(model, dataset, names, verbose=loudness(args))
    answer = {"data": info.source, **_judged(args, info), **report.to_dict()}
    lines = [str(report)]
    if labels is not None:
        real = training.evaluate.real_share(report.outcomes, labels)
        answer["real"] = real
        excluded = f"{real['count']} images, {real['excluded']} without a label"
        ends = percents(round(real["real"] * real["count"]), real["count"])
        real["real_interval"] = [end / 100.0 for end in ends]
        lines.append(f"ReaL {real['real']:.2%} ({shown(ends)}), {excluded}")
    lines.append(_scored(answer, info))
    if args.per_class:
        lines.append(_classes(answer["per_class"]))
    if args.confusion:
        path = report.plot_confusion(args.confusion, args.overwrite)
        answer["confusion"] = str(path)
        lines.append(f"confusion: {path}")
        if report.undrawable:
            answer["notes"].append(report.undrawable)
            lines.append(report.undrawable)
    return answer, "\n".join(lines), 0


def _run_own_loss(args, model):
    """Report the loss of a self-supervised model, its only score."""
    if args.confusion or args.real or args.per_class:
        raise UsageError(
            f"{args.model}: is self-supervised and has no classes, got class options. "
            "Leave out --confusion, --real and --per-class, or add --probe linear."
        )
    from keras_vit import training

    data, info = open_split(args, model)
    scores = training.evaluate.own_loss(model, data, loudness(args))
    text = f"loss {scores['loss']:.4f}, {scores['count']} images"
    if "bits_per_pixel" in scores:
        text = (
            f"{scores['nats_per_pixel']:.4f} nats per pixel, "
            f"{scores['bits_per_pixel']:.4f} bits, {scores['count']} images"
        )
    answer = {"data": info.source, **_judged(args, info), **scores}
    return answer, f"{text}\n{_scored(answer, info)}", 0


def _judged(args, info):
    """Which images were scored and which skipped, as plain values."""
    split = args.split or info.test_split
    shares = {"split": split, "counts": info.counts}
    return {**shares, "skipped": list(info.skipped), "notes": list(info.notes)}


def _scored(answer, info):
    """Which images were scored and which skipped, in a line."""
    counts = ", ".join(f"{name} {count}" for name, count in info.counts.items())
    skipped = f"; {len(info.skipped)} files left out" if info.skipped else ""
    return f"scored: split {answer['split']!r} of {info.source} ({counts}){skipped}"


def _only_scores(args):
    """Refuse options of probes for the scores of a classifier."""
    if len(args.models) > 1 or args.pooling or args.picture:
        raise UsageError(
            "--probe: needed for several models, --pooling and --picture, got none. "
            "Add --probe linear,few_shot,knn."
        )
    (args.model,) = args.models


def _real_labels(args, info):
    """Load ReaL labels of the images, before any slow step, or None."""
    if args.real is None:
        return None
    from keras_vit import training

    names = training.image_names(args.data, args.split, info.skipped)
    return training.evaluate.real_labels(args.real, names)


def _classes(rows):
    """Table of a line per class, the lowest accuracy first."""
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
    """Run probes on the features, a row per model."""
    if args.confusion or args.real or args.per_class:
        raise UsageError(
            "--probe: learns a classifier of its own, got options about the head of "
            "the model too. Leave out --confusion, --real and --per-class."
        )
    if args.picture and "depth" not in args.probe:
        raise UsageError(
            f"--picture: draws accuracy over depth, got --probe {','.join(args.probe)}."
            " Add depth to it."
        )
    check_there(args)
    from keras_vit import training
    from keras_vit.intervals import widest
    from keras_vit.training.evaluate.comparison import KINDS
    from keras_vit.training.evaluate.probe_depths import check_picture

    training.evaluate.check_kinds(args.probe, KINDS)
    if args.picture:
        check_picture(args.picture, args.overwrite)
    comparison = training.evaluate.compare(
        _encoders(args),
        args.data,
        args.probe,
        args.split,
        args.pooling,
        args.batch_size,
        args.on_bad_image,
        loudness(args),
    )
    answer, lines = comparison.to_dict(), [str(comparison)]
    if args.picture:
        path = comparison.plot_depths(args.picture, args.overwrite)
        answer["picture"] = str(path)
        lines.append(f"picture: {path}")
    answer["known_within_points"] = widest(comparison.counts[1])
    lines.append(
        "{}, {:,} images to learn from, {:,} scored".format(*_counts(comparison))
    )
    lines.append(
        f"95%: a share is known to within {widest(comparison.counts[1]):.1f} points"
    )
    return answer, "\n".join(lines), 0


def _counts(comparison):
    return f"{comparison.data} ({comparison.split})", *comparison.counts


def _encoders(args):
    """Name -> model, or "pixels"; every path is checked before the first is loaded."""
    import keras

    from keras_vit import training, weights

    paths = {word: word.removeprefix(RANDOM) for word in args.models}
    encoders, loaded = {}, {PIXELS: PIXELS}
    for word, path in paths.items():
        if path not in loaded:
            loaded[path] = prepared(weights.load(path), args)
        model = loaded[path]
        if word.startswith(RANDOM) and path != PIXELS:
            keras.utils.set_random_seed(0)
            model = prepared(training.evaluate.untrained(model), args)
        encoders[_name(word, paths)] = model
    return encoders


def _name(word, paths):
    """File name without its suffix, and its folder where that tells more."""

    def short(text):
        path = pathlib.Path(paths[text])
        run = f"{path.parent.name}/" if path.stem in ("best", "last") else ""
        return f"{RANDOM if text.startswith(RANDOM) else ''}{run}{path.stem}"

    same = [other for other in paths if short(other) == short(word)]
    return word if len(same) > 1 else short(word)
