"""Pictures of self-supervised models: input beside reconstruction."""

import numpy as np
from keras import ops

from keras_vit.introspect import drawing
from keras_vit.models import generate
from keras_vit.models.image_gpt import ImageGPT
from keras_vit.models.mae import MaskedAutoencoder
from keras_vit.preprocess import to_pixels
from keras_vit.types import Figure, Images


def plot_reconstruction(
    model: MaskedAutoencoder, images: Images, seed: int = 0
) -> Figure:
    """Draw images, their visible patches, and a masked autoencoder's reconstruction.

    Args:
        model: `MaskedAutoencoder`. images: (B, H, W, 3), prepared. seed: of the draw.

    Returns:
        `matplotlib.figure.Figure`, a column per image: image, seen, painted.

    Source:
        He et al. 2021, arXiv:2111.06377, fig. 2.
    """
    seen, painted = model.reconstruct(images, seed)
    hidden = ~np.any(seen, axis=-1, keepdims=True)
    mode = model.preprocessing.range
    rows = [to_pixels(x, mode) for x in (ops.convert_to_numpy(images), seen, painted)]
    rows[1] = np.where(hidden, np.uint8(128), rows[1])
    return _table(rows, ["image", "seen", "painted"])


def plot_completion(
    model: ImageGPT,
    images: Images,
    share: float = 0.5,
    paintings: int = 3,
    seed: int = 0,
    verbose: int = 1,
) -> Figure:
    """Draw images, their upper part and the completion by an image GPT.

    Args:
        model: `ImageGPT`. images: (B, H, W, 3) in -1..1. share: of the rows that are
            known. paintings: different completions of each. seed: of the first.
        verbose: 0 silent.

    Returns:
        `matplotlib.figure.Figure`, a column per image: the image in the colours of the
        palette, what is known, and the paintings.

    Source:
        Chen et al. 2020, "Generative Pretraining from Pixels", fig. 1.
    """
    height, width = model.image_shape[:2]
    tokens = ops.convert_to_numpy(model.tokens(images))
    count = int(height * share)
    whole = model.to_images(tokens)
    known = whole.copy()
    known[:, count:] = 128
    rows, names = [whole, known], ["image", "known"]
    for number in range(paintings):
        painted = generate.sample(
            model, tokens[:, : count * width], seed=seed + number, verbose=verbose
        )
        rows.append(model.to_images(painted))
        names.append(f"painted {number + 1}")
    return _table(rows, names)


def _table(rows, names):
    """Draw one row of pictures per name."""
    count = len(rows[0])
    figure, axes = drawing.figure(1.1 * count + 0.6, 1.1 * len(rows), len(rows), count)
    axes = np.reshape(axes, (len(rows), count))
    for row, name, places in zip(rows, names, axes, strict=True):
        places[0].set_ylabel(name)
        for picture, place in zip(row, places, strict=True):
            place.imshow(picture, interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
    return figure
