"""Draw the figures of docs/inside.md from a checkpoint and a folder of photographs.

python docs/make_inside.py WEIGHTS PHOTOS docs/inside --show boots.jpg sandals.jpg

Everything that averages over images takes --count of them, spread evenly over the
sorted names; --show says which are shown.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_vit
from keras_vit import files, introspect, preprocess

KINDS = (".jpg", ".jpeg", ".png")


def spread(paths, count):
    """Every k-th of a list, `count` in all."""
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round()
    return [paths[int(index)] for index in chosen]


def save(figure, path, **options):
    """Write one picture, all of it or nothing."""
    with files.replacing(path, overwrite=True) as target:
        figure.savefig(target, **options)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def prepare(model, paths):
    """(B, H, W, C) float32 of image files."""
    note = model.preprocessing
    return np.stack([preprocess.preprocess_image_file(path, note) for path in paths])


def draw_weights(model, out):
    """Figure 7 left and centre: what needs no image."""
    filters = introspect.embedding_filters(model)
    save(introspect.plot_embedding_filters(filters), out / "filters.png")
    similarity = introspect.position_similarity(model)
    save(introspect.plot_position_similarity(similarity), out / "positions.png")


def draw_average(model, paths, out):
    """Figure 7 right, and the norms: over many images."""
    images = prepare(model, paths)
    far = introspect.attention_distance(model, images, verbose=1)
    save(introspect.plot_attention_distance(far), out / "distance.png")
    print(f"attention distance over {len(images)} photographs, px, lowest to highest:")
    for block, heads in enumerate(np.sort(far, axis=1), start=1):
        print(f"  block {block:2}: {' '.join(f'{value:5.1f}' for value in heads)}")
    layout = introspect.token_layout(model)
    norms = introspect.token_norms(model, images, verbose=1)
    save(introspect.plot_token_norms(norms, layout), out / "norms.png")
    last = layout.patches(norms[:, -1])
    ratios = last.max(axis=1) / np.median(last, axis=1)
    print(f"largest patch norm over the median: {ratios.min():.1f}-{ratios.max():.1f}")
    where = [np.unravel_index(int(k), layout.grid) for k in np.unique(last.argmax(1))]
    print("patches that are ever the largest:", [tuple(map(int, p)) for p in where])


def draw_photographs(model, paths, out):
    """Figures 6 and 14: rollout on photographs; and every head of the first."""
    images = prepare(model, paths)
    pictures = [
        np.round(model.preprocessing.resize_images(preprocess.read_image(path)))
        for path in paths
    ]
    pictures = [picture.clip(0, 255).astype("uint8") for picture in pictures]
    rollouts = introspect.attention_rollout(model, images)
    figure = introspect.plot_attention_rollout(rollouts, pictures)
    save(figure, out / "rollout.jpg", pil_kwargs={"quality": 88})
    maps = introspect.attention_maps(model, images[:1])
    layout = introspect.token_layout(model)
    save(introspect.plot_attention_maps(maps, layout), out / "heads.png")


def main():
    """Read the command line, draw everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", help="a .keras file or a checkpoint")
    parser.add_argument("photos", type=pathlib.Path, help="folder of photographs")
    parser.add_argument("out", type=pathlib.Path, help="folder for the pictures")
    parser.add_argument("--show", nargs="+", default=[], help="file names to show")
    parser.add_argument("--count", type=int, default=128, help="images to average over")
    args = parser.parse_args()
    found = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in KINDS)
    named = {path.name: path for path in found}
    missing = [name for name in args.show if name not in named]
    if missing or not found:
        parser.error(f"{args.photos}: must hold photographs, not found: {missing}")
    if args.weights.endswith(".keras"):
        model = keras.saving.load_model(args.weights)
    else:
        model = keras_vit.from_checkpoint(args.weights)
    shown = [named[name] for name in args.show] or spread(found, 6)
    draw_weights(model, args.out)
    draw_photographs(model, shown, args.out)
    draw_average(model, spread(found, args.count), args.out)


if __name__ == "__main__":
    main()
