"""What a small image GPT learns of small images, and what it paints.

    python benchmarks/painting.py FOLDER --output OUT

FOLDER holds images in folders of their classes, as `keras-vit train` takes them; they
are shrunk to --image-size px, and to a palette that is found among the training images.
An image GPT learns to paint them, pixel by pixel. The table puts its loss on the test
images beside what is known without any model:

- every colour alike: log(V) nats;
- the colours of these very images, each for itself: the entropy of the palette, below
  which no guess can come that looks at no other pixel;
- a table of how often a colour follows the one to the left, and the pair of those to
  the left and above, counted in the training images.

The same call goes on after it was stopped, and is quick when all is done. OUT/run has
the model, OUT/completions.png test images whose lower half is painted (those of another
folder with --show: mind the licence of images that you pass on), OUT/samples.png images
that are painted from nothing.
"""

import argparse
import json
import math
import pathlib

import keras
import numpy as np
from pictures import read_pictures

import keras_vit
from keras_vit import files, introspect, preprocess, training
from keras_vit.introspect import drawing
from keras_vit.models import generate, palette
from keras_vit.models.image_gpt import bits
from keras_vit.training.checkpoint import run_folder

BACKED = 10.0  # pixels that a table must have seen to count as much as a simpler one
PALETTE_IMAGES = 2000  # that the palette is found in
SHOWN, PAINTED = 10, 30  # images that are continued; that are painted from nothing


def prepared(images):
    """Bytes -> -1..1."""
    return np.asarray(preprocess.preprocess_input(images))


def entropy(tokens, colors):
    """Nats per pixel of the best guess that looks at no other pixel."""
    shares = np.bincount(tokens.ravel(), minlength=colors) / tokens.size
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def neighbours(tokens, size, colors):
    """Colours to the left and above of each pixel, V outside of the image.

    Args:
        tokens: (n, H*W) int. size: side in px. colors: V.

    Returns:
        Two (n, H, W) int arrays. Left of the first pixel of a row is nothing.
    """
    grid = tokens.reshape(-1, size, size)
    left, above = np.full_like(grid, colors), np.full_like(grid, colors)
    left[:, :, 1:], above[:, 1:] = grid[:, :, :-1], grid[:, :-1]
    return left, above


def table_losses(train, test, size, colors):
    """Nats per pixel of tables of colours, given those beside.

    Each table leans on the simpler one where it has seen little: a count is added of
    BACKED pixels that fall as the simpler one says.

    Args:
        train, test: (n, H*W) int palette numbers. size: side in px. colors: V.

    Returns:
        "left" and "left and above" -> float.
    """
    many = colors + 1
    shares = np.bincount(train.ravel(), minlength=colors) + 1.0
    shares = np.broadcast_to(shares / shares.sum(), (many, colors))
    left, above = neighbours(train, size, colors)
    counts = np.zeros((many, many, colors), "float32")  # above, left, colour
    np.add.at(counts, (above.ravel(), left.ravel(), train.ravel()), 1)
    first = _lean(counts.sum(axis=0), shares)
    second = _lean(counts, first[None])
    left, above = (x.ravel() for x in neighbours(test, size, colors))
    return {
        "left": float(-np.log(first[left, test.ravel()]).mean()),
        "left and above": float(-np.log(second[above, left, test.ravel()]).mean()),
    }


def _lean(counts, simpler):
    """Counts (..., V) as shares, with a simpler table behind them."""
    seen = counts.sum(axis=-1, keepdims=True)
    return (counts + BACKED * simpler) / (seen + BACKED)


def train(pictures, args):
    """The image GPT of args.output, trained now or before."""
    folder = run_folder.RunFolder(args.output / "run")
    if not folder.states.path.is_dir() and folder.best.is_file():
        return keras.saving.load_model(folder.best)
    images, labels = pictures.splits["train"]
    rows = np.random.default_rng(0).permutation(len(images))[:PALETTE_IMAGES]
    keras.utils.set_random_seed(args.seed)
    model = keras_vit.ImageGPT(
        image_size=args.image_size,
        width=args.width,
        depth=args.depth,
        heads=args.heads,
        colors=args.colors,
        palette=palette.fit_palette(prepared(images[rows]), args.colors),
        seed=args.seed,
    )
    result = training.fit(
        "igpt",
        model,
        data=pictures.data(images, labels),
        output_dir=folder.path,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        warmup=0.05,
        augment="flip",
        seed=args.seed,
        verbose=2,
    )
    return result.model


def tokens(model, images):
    """Palette numbers (n, H*W), a few hundred images at a time."""
    pieces = np.array_split(images, -(-len(images) // 500))
    return np.concatenate([np.asarray(model.tokens(prepared(x))) for x in pieces])


def losses(model, pictures):
    """Name -> nats per pixel of the test images."""
    size, colors = model.image_shape[0], model.colors
    seen, painted = (
        tokens(model, pictures.splits[split][0]) for split in ("train", "test")
    )
    model.compile("sgd")
    own = model.evaluate(painted, batch_size=64, verbose=0)
    tables = table_losses(seen, painted, size, colors)
    return {
        f"every colour alike, log({colors})": math.log(colors),
        "the palette's entropy": entropy(painted, colors),
        **{f"table: {name}": value for name, value in tables.items()},
        "image GPT": float(own),
    }


def draw_completions(model, pictures):
    """Test images, one of each class, their upper halves and what is painted below."""
    images, labels = pictures.splits["test"]
    rows = [np.flatnonzero(labels == k)[0] for k in np.unique(labels)[:SHOWN]]
    return introspect.plot_completion(model, prepared(images[rows]), paintings=3)


def draw_samples(model, seed, columns=10):
    """Images painted from nothing."""
    tokens = generate.sample(model, count=PAINTED, seed=seed)
    rows = -(-PAINTED // columns)
    figure, axes = drawing.figure(0.8 * columns, 0.8 * rows, rows, columns)
    for place, image in zip(axes.ravel(), model.to_images(tokens), strict=True):
        place.imshow(image, interpolation="nearest")
        place.set_xticks([])
        place.set_yticks([])
    return figure


def save(figure, path):
    """Write one picture, all of it or nothing."""
    with files.replacing(path, overwrite=True) as partial:
        figure.savefig(partial)
    print(path)


def main(words=None):
    """Train, print the table, draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="of images in folders of their classes")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--image-size", type=int, default=16, help="px")
    parser.add_argument("--colors", type=int, default=64, help="of the palette")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", help="folder whose test images are continued")
    args = parser.parse_args(words)
    pictures = read_pictures(args.folder, args.image_size)
    model = train(pictures, args)
    found = losses(model, pictures)
    for name, nats in found.items():
        print(f"{name:32}{nats:8.3f} nats{bits(nats):8.3f} bits per pixel")
    with files.replacing(args.output / "losses.json", overwrite=True) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
    if args.show:
        pictures = read_pictures(args.show, args.image_size)
    save(draw_completions(model, pictures), args.output / "completions.png")
    save(draw_samples(model, args.seed), args.output / "samples.png")


if __name__ == "__main__":
    main()
