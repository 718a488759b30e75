"""Draw the picture of the README: test digits above what the decision looked at.

python docs/make_picture.py MODEL.keras docs/digits.png
"""

import sys

import keras
import numpy as np
from PIL import Image

from keras_vit import introspect, training
from keras_vit.export.io.io_spec import to_pixels
from keras_vit.export.report.svg import with_heat

COUNT, SIDE, GAP = 10, 96, 6  # images in a row; px; px


def main(model_path, picture_path):
    """Write the PNG."""
    model = keras.saving.load_model(model_path)
    test, _ = training.load_split("digits", preprocessing=model.preprocessing)
    images = np.concatenate([batch for batch, _ in test])[:COUNT]
    maps = introspect.readout_attention(model, images)
    rows = np.full((2 * SIDE + GAP, COUNT * (SIDE + GAP) - GAP, 3), 255, "uint8")
    for index, (image, heat) in enumerate(zip(images, maps, strict=True)):
        pixels = to_pixels(image, model.preprocessing.mode)
        left = index * (SIDE + GAP)
        for top, tile in ((0, pixels), (SIDE + GAP, with_heat(pixels, heat))):
            scaled = Image.fromarray(tile).resize(
                (SIDE, SIDE), Image.Resampling.NEAREST
            )
            rows[top : top + SIDE, left : left + SIDE] = np.asarray(scaled)
    Image.fromarray(rows).save(picture_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
