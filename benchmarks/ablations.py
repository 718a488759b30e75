"""The choices of the ViT paper, each switched alone: what is it worth?

    python benchmarks/ablations.py cifar10/ --output runs/ablations

`cifar10/` is a folder of images, `train/CLASS/*.png` and `test/CLASS/*.png`. A small
plain Vision Transformer is trained from scratch once per row; the first row is the one
that all others differ from. The same command goes on where it was stopped; `--seeds 3`
trains every row so often, `--rows position` only those whose names begin so.
"""

import argparse
import json
import pathlib
import statistics
import time
from typing import NamedTuple

RATE, LOW_RATE = 1e-3, 3e-4


class Row(NamedTuple):
    """One model to train.

    Args:
        name: of the row. model: fields of `Architecture` that differ from the first.
        rate: learning rate. published: what the paper found for ViT-B/16, or "".
    """

    name: str
    model: dict
    rate: float = RATE
    published: str = ""


# Published: arXiv:2010.11929, table 8 (default placement), 5-shot linear on ImageNet.
ROWS = (
    Row("baseline: learned 1-D, class token, linear head", {}, RATE, "64.2"),
    Row("position: none", {"position": "none"}, RATE, "61.4"),
    Row("position: learned 2-D", {"position": "learned2d"}, RATE, "64.0"),
    Row("position: fixed sine-cosine 2-D", {"position": "sincos2d"}),
    Row("position: relative", {"position": "relative"}, RATE, "64.0"),
    Row("mean of the patches", {"pooling": "gap"}),
    Row("mean of the patches, lower rate", {"pooling": "gap"}, LOW_RATE),
    Row("class token, lower rate", {}, LOW_RATE),
    Row("MLP head (tanh)", {"representation_size": "width"}),
)


def main(words=None):
    """Train what is missing; write the table after each run, print it at the end."""
    options = _options(words)
    from keras_vit import files, training

    rows = [row for row in ROWS if row.name.startswith(tuple(options.rows))]
    if not rows:
        names = ", ".join(repr(row.name) for row in ROWS)
        raise SystemExit(f"--rows: must begin one of {names}, got {options.rows}.")
    data = f"folder:{options.folder}"
    training.class_names(data)  # a folder that cannot be read is told before all else
    table = files.check_target(options.output / "table.md", overwrite=True)
    pairs = _seeds(rows, options)
    runs = [(row, *_asked(row, seed, data, options)) for row, seed in pairs]
    known = [_known(asked, folder) for _, asked, folder in runs]
    found = {}
    for number, (row, asked, folder) in enumerate(runs, 1):
        scores = known[number - 1]
        if scores is None:
            place = f"{number} of {len(runs)}"
            print(f"{place}: {row.name}, seed {asked['seed']}", flush=True)
            scores = _train(asked, folder)
        found.setdefault(row.name, []).append(scores)
        text = "\n".join(_lines(rows, found))
        with files.replacing(table, overwrite=True) as path:
            path.write_text(text + "\n")
    print(f"\n{text}")


def _options(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="with train/CLASS/*.png and test/CLASS/*.png")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--rows", nargs="+", default=[""], metavar="BEGINNING")
    parser.add_argument("--seeds", type=int, default=1, help="of every row")
    parser.add_argument("--baseline-seeds", type=int, default=3, help="of the first")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=32, help="px")
    parser.add_argument("--patch-size", type=int, default=8, help="px")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    return parser.parse_args(words)


def _seeds(rows, options):
    """(row, seed), one seed of every row first: most is known early."""
    counts = {row.name: options.seeds for row in rows}
    counts[ROWS[0].name] = max(options.seeds, options.baseline_seeds)
    pairs = [(row, seed) for row in rows for seed in range(counts[row.name])]
    return sorted(pairs, key=lambda pair: pair[1])


def _asked(row, seed, data, options):
    """Arguments of `training.fit` for one run, and its folder."""
    name = "".join(c if c.isalnum() else "-" for c in row.name)
    asked = {"model": _model(row, options), "learning_rate": row.rate, "data": data}
    names = ("epochs", "batch_size", "image_size")
    asked |= {name: getattr(options, name) for name in names} | {"seed": seed}
    return asked, options.output / f"{name}-{seed}"


def _known(asked, folder):
    """Figures of a run that is finished, or None."""
    note = folder / "score.json"
    if not note.is_file():
        return None
    known = json.loads(note.read_text())
    if known["asked"] != asked:
        raise SystemExit(
            f"{note}: must be of the same options, got {known['asked']}, not {asked}. "
            "Choose another --output."
        )
    return known


def _model(row, options):
    """The model of a row, as a recipe takes it."""
    model = {
        "patch_size": options.patch_size,
        "width": options.width,
        "depth": options.depth,
        "heads": options.heads,
        "mlp_dim": 2 * options.width,
        **row.model,
    }
    if model.get("representation_size") == "width":
        model["representation_size"] = options.width
    return model


def _train(asked, folder):
    """Train one model, and score it on the test images."""
    import keras
    import tensorflow as tf

    from keras_vit import files, training
    from keras_vit.training.checkpoint.run_folder import RunFolder

    keras.utils.clear_session()
    tf.get_logger().setLevel("ERROR")  # it counts the functions of all runs together
    busy = time.process_time()
    run = RunFolder(folder)
    finished = run.best.is_file() and not run.states.path.exists()
    result = training.fit(  # goes on by itself where it was stopped
        "cifar10",
        **asked,
        cache=True,
        output_dir=folder,
        overwrite=finished,  # a run whose score was never written is made again
    )
    note = result.model.preprocessing
    test, _ = training.load_split(asked["data"], preprocessing=note, verbose=0)
    scored = training.evaluate.top_k(result.model, test, verbose=0)
    scores = {
        "asked": asked,
        "parameters": result.model.count_params(),
        "validation": max(result.history["val_top1"]),
        "test": scored["top1"],
        "count": scored["count"],
        "cpu_s": round(time.process_time() - busy),
    }
    with files.replacing(folder / "score.json") as path:
        path.write_text(json.dumps(scores, indent=2))
    print("  {test:.1%} of {count} images, {cpu_s} CPU s".format(**scores), flush=True)
    return scores


def _lines(rows, found):
    """The table in Markdown, of what is finished."""
    head = "| | parameters | learning rate | test top-1 | seeds |"
    yield f"{head} ViT-B/16 (published) |"
    yield "|---|---|---|---|---|---|"
    for row in [row for row in rows if row.name in found]:
        scores = [100 * score["test"] for score in found[row.name]]
        shown = f"{statistics.mean(scores):.1f}%"
        if len(scores) > 1:
            shown += f" ({min(scores):.1f} to {max(scores):.1f})"
        parameters = found[row.name][0]["parameters"]
        published = f"{row.published}%" if row.published else ""
        yield (
            f"| {row.name} | {parameters:,} | {row.rate:g} | {shown} | {len(scores)} "
            f"| {published} |"
        )


if __name__ == "__main__":
    main()
