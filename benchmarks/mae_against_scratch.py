"""Whether learning without labels first pays for the time that it takes.

    python benchmarks/mae_against_scratch.py FOLDER --output OUT --labels 1500

FOLDER holds small images in folders of their classes, as `keras-vit train` takes them.
For each seed a masked autoencoder learns from all training images, without labels; the
classifier that begins with its encoder learns from the labelled ones. Then the same
classifier learns from the same labelled images from scratch, for at least as much
processor time: its number of epochs is rounded up. The validation images choose the
epoch of both, the test images are looked at once, at the end.

An epoch here is at least STRETCH images: a few labelled ones are gone through again
and again between two validations. Processor time is that of the training steps; the
building of graphs and the validations are left out, on both sides.

The same call goes on after it was stopped, and is quick when all is done: several
processes may each do some of the seeds, and one call for all seeds draws the picture.
OUT/labels-N.png has the curves, OUT/labels-N.json the numbers.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import statistics
import time

import keras
import numpy as np
from pictures import Pictures, read_pictures

import keras_vit
from keras_vit import files, training
from keras_vit.introspect import drawing
from keras_vit.training.checkpoint import run_folder
from keras_vit.training.logging import plot_history

STRETCH = 4500  # images between two validations, at least
ENCODER = {"width": 64, "depth": 4, "heads": 4, "mlp_dim": 128}
DECODER = {
    "decoder_width": 32,
    "decoder_depth": 1,
    "decoder_heads": 4,
    "decoder_mlp_dim": 64,
}
AUGMENT = "flip|shift(4)"
PRETRAIN = {
    "batch_size": 64,
    "learning_rate": 1.5e-3,
    "warmup": 0.1,
    "augment": AUGMENT,
}
LEARN = {"augment": AUGMENT, "mixup": 0.0}
ARMS = {"mae": "masked autoencoder, then labels", "scratch": "from scratch"}


class CountSeconds(keras.callbacks.Callback):
    """Put the processor time of an epoch's steps beside its other numbers.

    The first step, which builds the graph, counts as much as a mean one.
    """

    adds_scores = True

    def on_epoch_begin(self, epoch, logs=None):
        """Nothing is counted yet."""
        self.begun = None

    def on_train_batch_end(self, batch, logs=None):
        """Start the watch behind the first step; the last one stops it."""
        now = time.process_time()
        if self.begun is None:
            self.begun, self.first = now, batch
        self.ended, self.last = now, batch

    def on_epoch_end(self, epoch, logs=None):
        """Write it down."""
        steps = max(self.last - self.first, 1)
        logs["seconds"] = (self.ended - self.begun) / steps * self.params["steps"]


def labelled(pictures, count, seed):
    """So many labelled training images, as many of each class, over and over.

    Args:
        pictures: `Pictures`. count: 0 for all. seed: of the choice.
    """
    images, labels = pictures.splits["train"]
    stretch = min(STRETCH, len(images))
    if count:
        chosen = balanced(labels, count, len(pictures.class_names), seed)
        images, labels = images[chosen], labels[chosen]
    times = -(-stretch // len(images))
    return pictures.data(np.tile(images, (times, 1, 1, 1)), np.tile(labels, times))


def balanced(labels, count, classes, seed):
    """Rows of a draw with as many of each class, `count` in all."""
    most = min(np.bincount(labels, minlength=classes)) * classes
    if count % classes or not 0 < count <= most:
        raise SystemExit(
            f"--labels: must be a multiple of {classes} classes, {classes} to {most}, "
            f"got {count}. Use {most // classes // 10 * classes}, or 0 for all images."
        )
    random = np.random.default_rng(seed)
    rows = [
        random.permutation(np.flatnonzero(labels == k))[: count // classes]
        for k in range(classes)
    ]
    return np.sort(np.concatenate(rows))


def autoencoder(size, patch, seed):
    """A small masked autoencoder with random weights."""
    keras.utils.set_random_seed(seed)
    return keras_vit.MaskedAutoencoder(
        image_size=size, patch_size=patch, **ENCODER, **DECODER, seed=seed
    )


def train(folder, recipe, model, data, **options):
    """Train, go on, or read what was trained before: (model, history)."""
    folder = run_folder.RunFolder(folder)
    if not folder.states.path.is_dir() and folder.best.is_file():
        check_same(folder, options)
        print(f"{folder.path}: finished before.")
        return keras.saving.load_model(folder.best), plot_history.read_curves(
            folder.path
        )
    print(f"{folder.path}: {options['epochs']} epochs.")
    result = training.fit(
        recipe,
        model,
        data=data,
        output_dir=folder.path,
        verbose=2,
        callbacks=[CountSeconds()],
        **options,
    )
    return result.model, result.history


def check_same(folder, options):
    """Make sure that a finished run was made with these options of a recipe."""
    before = json.loads(folder.recipe.read_text())["recipe"]
    other = {name: before[name] for name in options if before[name] != options[name]}
    if other:
        now = {name: options[name] for name in other}
        raise SystemExit(
            f"{folder.path}: must hold a run with {now}, got {other}. Choose another "
            "--output, or remove that folder."
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """One seed of the comparison.

    Args:
        pictures: `Pictures`. out: folder of all runs. size, patch: px. labels: how many
            labelled images, 0 for all. pretrain, finetune: epochs. layer_decay: of the
            fine-tuning, or None. seed: of all draws.
    """

    pictures: Pictures
    out: pathlib.Path
    size: int
    patch: int
    labels: int
    pretrain: int
    finetune: int
    layer_decay: float | None
    seed: int

    def folder(self, arm):
        """Where the run of an arm lies."""
        return self.out / f"labels-{self.labels}" / f"{arm}-{self.seed}"

    def begin(self):
        """Learn without labels: (model, history). Every number of labels shares it."""
        return train(
            self.out / f"pretrain-{self.seed}",
            "mae_pretrain",
            autoencoder(self.size, self.patch, self.seed),
            self.pictures.data(*self.pictures.splits["train"]),
            epochs=self.pretrain,
            seed=self.seed,
            **PRETRAIN,
        )

    def learn(self, arm, mae, epochs, **options):
        """Learn from labels, beginning with an encoder: (model, history)."""
        classifier = keras_vit.classifier_from(mae, len(self.pictures.class_names))
        data = labelled(self.pictures, self.labels, self.seed)
        options = {"epochs": epochs, "seed": self.seed, **LEARN, **options}
        return train(self.folder(arm), "cifar10", classifier, data, **options)

    def found(self):
        """Arm -> its numbers, compared now or before."""
        path = self.folder("seed").with_suffix(".json")
        lengths = [self.pretrain, self.finetune, self.layer_decay]
        if path.is_file():
            known = json.loads(path.read_text())
            if known["lengths"] == lengths:
                return known["arms"]
        arms = self.compare()
        write(path, {"lengths": lengths, "arms": arms})
        return arms

    def compare(self):
        """Do all of it: arm -> its numbers."""
        mae, before = self.begin()
        tuned = self.learn("mae", mae, self.finetune, layer_decay=self.layer_decay)
        spent = sum(before["seconds"]) + sum(tuned[1]["seconds"])
        epochs = math.ceil(spent / statistics.mean(tuned[1]["seconds"]))
        fresh = autoencoder(self.size, self.patch, self.seed)
        scratch = self.learn("scratch", fresh, epochs)
        return {
            "mae": self.numbers(*tuned, sum(before["seconds"])),
            "scratch": self.numbers(*scratch, 0.0),
        }

    def numbers(self, model, history, spent):
        """What the table and the picture need of one run."""
        note = model.preprocessing
        data, _ = training.load_split(self.pictures.splits, "test", preprocessing=note)
        score = training.evaluate.top_k(model, data, 1, verbose=0)
        return {
            "minutes": ((spent + np.cumsum(history["seconds"])) / 60).tolist(),
            "val_top1": list(history["val_top1"]),
            "test_top1": score["top1"],
            "parameters": model.count_params(),
        }


def table(found):
    """One line per arm and seed, and the mean of each arm."""
    lines = []
    for arm, name in ARMS.items():
        scores = [100 * seeds[arm]["test_top1"] for seeds in found.values()]
        minutes = [seeds[arm]["minutes"][-1] for seeds in found.values()]
        each = ", ".join(f"{score:.1f}" for score in scores)
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        lines.append(
            f"{name:32} {statistics.mean(scores):5.1f}% +- {spread:.1f} of the test "
            f"images ({each}), {statistics.mean(minutes):.1f} min of processor time"
        )
    return "\n".join(lines)


def draw(found, title):
    """Validation top-1 over processor time: seeds pale, their mean strong."""
    figure, axes = drawing.figure(6.4, 3.8)
    drawing.rule(axes)
    colours = dict(zip(ARMS, ("#0072b2", "#d55e00"), strict=True))
    for arm, name in ARMS.items():
        runs_of = [
            (seeds[arm]["minutes"], 100 * np.array(seeds[arm]["val_top1"]))
            for seeds in found.values()
        ]
        for minutes, scores in runs_of:
            axes.plot(minutes, scores, color=colours[arm], alpha=0.35, linewidth=1)
        first = max(minutes[0] for minutes, _ in runs_of)
        grid = np.linspace(first, min(minutes[-1] for minutes, _ in runs_of), 100)
        mean = np.mean([np.interp(grid, *curve) for curve in runs_of], axis=0)
        axes.plot(grid, mean, color=colours[arm], linewidth=2.2, label=name)
    axes.set_xlim(left=0)
    axes.set_xlabel("processor time of the training steps, minutes")
    axes.set_ylabel("validation top-1, %")
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def write(path, values):
    """Write numbers, all of them or nothing."""
    with files.replacing(path, overwrite=True) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n")


def report(found, out, name, title):
    """Print the table; write the picture and the numbers."""
    print(table(found))
    write(out / f"{name}.json", found)
    with files.replacing(out / f"{name}.png", overwrite=True) as partial:
        draw(found, title).savefig(partial)
    print(f"{out / name}.png")


def main(words=None):
    """Train, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="of images in folders of their classes")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=int, default=0, help="0 for all (default)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pretrain", type=int, default=10, help="epochs")
    parser.add_argument("--finetune", type=int, default=4, help="epochs")
    parser.add_argument("--layer-decay", type=float, help="none by default")
    parser.add_argument("--image-size", type=int, default=32, help="px")
    parser.add_argument("--patch-size", type=int, default=4, help="px")
    args = parser.parse_args(words)
    pictures = read_pictures(args.folder, args.image_size)
    lengths = args.labels, args.pretrain, args.finetune, args.layer_decay
    found = {}
    for seed in args.seeds:
        sides = args.image_size, args.patch_size
        found[seed] = Plan(pictures, args.output, *sides, *lengths, seed).found()
    count = len(pictures.splits["train"][0])
    seeds = ", ".join(map(str, args.seeds))
    title = f"{args.labels or count} labels, {count} images; seeds {seeds}"
    report(found, args.output, f"labels-{args.labels}", title)


if __name__ == "__main__":
    main()
