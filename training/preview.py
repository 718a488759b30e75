"""A batch as the model sees it, as one picture."""

from typing import Any

import numpy as np

from keras_vit import files, lettering
from keras_vit.contact_sheet import sheet
from keras_vit.preprocess import to_pixels
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.pipeline import open_data
from keras_vit.training.recipes import get_recipe
from keras_vit.training.recipes.base import Recipe
from keras_vit.types import FilePath

SHOWN = 3  # classes of a mixed image


def draw_batch(
    source: Any,
    output: FilePath,
    recipe: str | Recipe = "finetune",
    step: int = 0,
    overwrite: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Draw a training batch: augmented, mixed, with its labels.

    Args:
        source: as in `load_data`.
        output: picture to write, such as "batch.png".
        recipe: whose augmentation, size and seed are used.
        step: number of the batch, from 0.
        overwrite: whether an earlier picture may be replaced.
        **overrides: fields of `Recipe`; batch_size is the number of images drawn.

    Returns:
        Dict with the names of the images, row by row, their classes, the
        augmentation, and notes on what was left out.

    Raises:
        As `load_data`, and FileExistsError.
    """
    from PIL import Image

    files.check_target(output, overwrite)
    recipe = get_recipe(recipe, **overrides)
    opened, feed, info = open_data(
        source,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        seed=recipe.seed,
        on_bad_image=recipe.on_bad_image,
        verbose=0,
        splits=("train",),
        mix=Mix(recipe.mixup, recipe.cutmix, recipe.mix_rule),
        repeats=recipe.repeats,
    )
    train = opened.split("train")
    feed.batches(train)
    images, labels = next(feed.stream(train, step).take(1).as_numpy_iterator())
    captions = [caption(label, info.class_names) for label in labels]
    if images.ndim == 5:  # two views beside each other
        images = np.concatenate([images[:, 0], images[:, 1]], axis=2)
    pixels = sheet(to_pixels(images, info.preprocessing.range), captions)
    with files.replacing(output, overwrite) as target:
        Image.fromarray(pixels).save(target)
    note = lettering.undrawable(captions)
    return {
        "images": feed.names(train, step),
        "labels": captions,
        "augment": info.augment,
        "notes": [*info.notes, *([note] if note else [])],
    }


def caption(label, names):
    """The class of an image, or the shares of a mixed one.

    >>> caption(1, ("cat", "dog")), caption(np.array([0.25, 0.75]), ("cat", "dog"))
    ('dog', 'dog 75%, cat 25%')
    """
    if np.ndim(label) == 0:
        return names[label]
    if np.ndim(label) > 1:  # a label per pixel: those that occur
        return ", ".join(n for k, n in enumerate(names) if (label == k).any())
    best = [k for k in np.argsort(-label)[:SHOWN] if label[k] > 0]
    return ", ".join(f"{names[k]} {label[k]:.0%}" for k in best)
