"""What each function on Keras models brings to static_int8 as it is elsewhere.

python benchmarks/rewrites.py model.keras \
    --calibration folder --images folder --labels labels.csv

Files and images as for benchmarks/quantization.py. Every row is the same plain
recipe, without our rewrites of the graph, on a model that was changed before; the last
one is what static_int8 does by itself.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from quantization import (
    any_accuracy,
    calibration_images,
    labelled,
    read,
    static_without_rewrites,
    tflite,
)

from keras_vit.export.quantization import prepare_model
from keras_vit.export.runtime.runtimes import open_file


def variants(model, images):
    """Name -> model."""
    return {
        "nothing": model,
        "fold_norm_scale": prepare_model.fold_norm_scale(model),
        "equalize": prepare_model.equalize(model),
        "smooth, alpha 0.5": prepare_model.smooth(model, images, 0.5),
        "smooth, alpha 1": prepare_model.smooth(model, images, 1.0),
        "correct_bias of 8-bit weights": prepare_model.correct_bias(
            prepare_model.round_weights(model), model, images
        ),
    }


def answers(model, pairs, images, write):
    """Logits (N, K) of the file that `write` makes of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.tflite"
        with any_accuracy():
            write(model, None, path, images)
        runtime = open_file(path)
        return np.concatenate([runtime(read(model, p)[None])[0] for p, _ in pairs])


def main():
    """Print one row per model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a .keras file with model.preprocessing")
    for name in ("--calibration", "--images", "--labels"):
        parser.add_argument(name, type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="labelled images")
    args = parser.parse_args()
    import keras_vit  # noqa: F401  registers the layers

    model = keras.models.load_model(args.model)
    images = calibration_images(model, args.calibration, 64)
    pairs = labelled(args.images, args.labels, args.count)
    labels = np.array([label for _, label in pairs])
    photos = (read(model, path)[None] for path, _ in pairs)
    expected = np.concatenate([model(photo).numpy() for photo in photos])
    rows = [("float", expected)]
    for name, changed in variants(model, images).items():
        rows.append((name, answers(changed, pairs, images, static_without_rewrites)))
    own = answers(model, pairs, images, tflite("static_int8"))
    rows.append(("static_int8 as it is", own))
    print(
        "| before plain static_int8 | top-1 % | agreement % | dB |\n|---|---|---|---|"
    )
    for name, got in rows:
        noise = max(float(((got - expected) ** 2).sum()), 1e-30)
        decibel = 10 * np.log10(float((expected**2).sum()) / noise)
        top = 100 * (got.argmax(1) == labels).mean()
        agree = 100 * (got.argmax(1) == expected.argmax(1)).mean()
        print(f"| {name} | {top:.1f} | {agree:.1f} | {decibel:.1f} |")


if __name__ == "__main__":
    main()
