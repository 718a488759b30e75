"""Loss of a self-supervised model on images it has not seen."""

from typing import Any

import keras
import numpy as np

from keras_vit.models.image_gpt import ImageGPT, bits
from keras_vit.progress import Bar
from keras_vit.training.tasks import task_of
from keras_vit.types import Dataset


def own_loss(model: keras.Model, dataset: Dataset, verbose: int = 1) -> dict[str, Any]:
    """The model's own loss, as its training has it in validation.

    What is hidden is drawn the same way each time, so that two models can be compared
    on the same images in batches of the same size.

    Args:
        model: `MaskedAutoencoder`, `MaskedPatchPrediction` or `ImageGPT`.
        dataset: gives (images, labels); labels are not looked at.
        verbose: 1 shows progress.

    Returns:
        Dict: "loss", the mean over images; "count", images; of an image GPT also
        "nats_per_pixel" and "bits_per_pixel", of the pixels that it predicts.

    Raises:
        TypeError: for a model without such a loss. ValueError: without images.
    """
    if not task_of(model).own_loss or model.views > 1:
        raise TypeError(
            "model: must learn from single images without labels, got "
            f"{type(model).__name__}. Use evaluate.report for a classifier, and "
            "evaluate.probes for what compares views."
        )
    total, count, batches = 0.0, 0, 0
    bar = Bar(None, "batch", verbose)
    for images, _ in dataset:
        model(np.asarray(images), training=False)
        total += len(images) * float(sum(model.losses))
        count, batches = count + len(images), batches + 1
        bar.update(batches)
    if not count:
        raise ValueError("dataset: must have images, got none. Name another split.")
    bar.finish()
    found = {"loss": total / count, "count": count}
    if isinstance(model, ImageGPT):
        nats = found["loss"]
        found |= {"nats_per_pixel": nats, "bits_per_pixel": bits(nats)}
    return found
