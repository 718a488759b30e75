"""Predictions of `keras-vit predict`, with unreadable images listed."""

import csv
import pathlib
import sys

import numpy as np

from keras_vit import files, image_files, preprocess
from keras_vit.cli.option_rules import loudness
from keras_vit.introspect import inspection
from keras_vit.progress import Bar

BATCH = 32


def listed(arguments):
    """Paths of images: files as given, all images of folders.

    Args:
        arguments: paths.

    Returns:
        List of texts, and sentences on what is left out of folders.

    Raises:
        ValueError: for a folder without images.
    """
    paths, notes = [], []
    for word in arguments:
        if not pathlib.Path(word).is_dir():
            paths.append(word)
            continue
        tree = image_files.look_through(word)
        notes += image_files.notes_of(tree.all_left_out(), tree.path)
        inside = [str(path) for path in tree.all_images()]
        if not inside:
            said = "".join(f"; {note}" for note in notes)
            raise ValueError(f"{word}: must hold images, got none{said}.")
        paths += inside
    return paths, notes


def predict_all(args, model, paths):
    """Top classes with probabilities of each image.

    Args:
        args: of the command. model: classifier. paths: of images.

    Returns:
        path -> list of (name, probability), and path -> what is wrong with it.

    Raises:
        ValueError: for a model without a head.
    """
    preprocessing, predictions, bad = inspection.preparation(model), {}, {}
    bar = Bar(len(paths), "image", verbose=loudness(args) if args.csv else 0)
    for start in range(0, len(paths), BATCH):
        part = paths[start : start + BATCH]
        images = {}
        for path in part:
            try:
                images[path] = preprocess.preprocess_image_file(path, preprocessing)
            except (OSError, ValueError) as err:
                bad[path] = str(err)
        if images:
            outputs = model(np.stack(list(images.values())), training=False)
            for row, path in enumerate(images):
                predictions[path] = _names(args, model, outputs, row)
        bar.add(len(part))
    return predictions, bad


def _names(args, model, outputs, row):
    names = inspection.guesses(model, outputs[row : row + 1], args.top)
    if not names:
        raise ValueError(
            f"{args.model}: must end in a head for classes, got features. Train "
            f"one with `keras-vit train --model {args.model}`."
        )
    return names


def format_predictions(args, paths, predictions, bad, notes):
    """(result, text, exit code) of the command; unreadable images go to stderr."""
    answer = {
        path: {"error": bad[path]}
        if path in bad
        else [{"label": name, "probability": p} for name, p in predictions[path]]
        for path in paths
    }
    said = [*(f"note: {note}" for note in notes), *bad.values()]
    if bad and len(paths) > 1:
        said.append(f"{len(bad)} of {len(paths)} images could not be read")
    if not args.json:
        print("\n".join(said), file=sys.stderr, end="\n" if said else "")
    code = 1 if bad and args.on_bad_image == "refuse" else 0
    if args.csv:
        _write(args, paths, predictions, bad)
        return answer, f"{args.csv}: {len(predictions)} images", code
    lines = []
    for path in predictions:
        lines.append(path)
        lines += [f"  {p:6.1%}  {name}" for name, p in predictions[path]]
    return answer, "\n".join(lines), code


def _write(args, paths, predictions, bad):
    """Write a CSV line per image: top classes with probabilities, or the error."""
    most = max((len(names) for names in predictions.values()), default=1)
    head = ["file"]
    for k in range(1, most + 1):
        end = "" if k == 1 else f"_{k}"
        head += [f"label{end}", f"probability{end}"]
    with files.replacing(args.csv, args.overwrite) as target:
        with open(target, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*head, "error"])
            for path in paths:
                pairs = predictions.get(path, ())
                cells = [part for name, p in pairs for part in (name, f"{p:.6f}")]
                blank = [""] * (2 * most - len(cells))
                table.writerow([path, *cells, *blank, bad.get(path, "")])
