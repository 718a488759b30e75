"""Features: the outputs of a model before its head, the input of every probe."""

import keras
import numpy as np

from keras_vit.models.feature_extraction import encoder
from keras_vit.progress import Bar
from keras_vit.types import Dataset


def features(
    model: keras.Model, dataset: Dataset, verbose: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Run a data set through an encoder.

    Args:
        model: as in `encoder`.
        dataset: gives (images, labels); labels (B,) int.
        verbose: 1 shows progress.

    Returns:
        (N, D) float32 features, (N,) int64 labels.

    Raises:
        ValueError: for an empty data set, or a model that gives no vector.
    """
    found, labels = collect(encoder(model), dataset, verbose)
    if found.ndim != 2:
        raise ValueError(
            f"model: must give one vector per image, got an output of shape "
            f"{found.shape}. Average over the tokens, for example."
        )
    return found, labels


def collect(model, dataset, verbose=1):
    """All outputs of a model, and the labels beside them.

    Args:
        model: with `predict_on_batch`. dataset, verbose: as in `features`.

    Returns:
        (N, ...) float32, (N,) int64.

    Raises:
        ValueError: for an empty data set.
    """
    pairs = list(answers(model, dataset, verbose))
    found, labels = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    return found.astype("float32"), labels.astype("int64")


def answers(model, dataset, verbose=1):
    """Run a data set through a model, batch by batch.

    A batch with fewer images than the first is filled up for the model, which is then
    traced for one size alone.

    Args:
        model: with `predict_on_batch`. dataset: gives (images, labels).
        verbose: 1 shows progress.

    Yields:
        (outputs, labels), numpy arrays.

    Raises:
        ValueError: for an empty data set.
    """
    size = 0
    total = getattr(dataset, "cardinality", lambda: -1)()
    progress = Bar(int(total) if total > 0 else None, "batch", verbose)
    for images, labels in dataset:
        images, count = np.asarray(images), len(labels)
        size = size or count
        if count < size:
            missing = [(0, size - count), *[(0, 0)] * (images.ndim - 1)]
            images = np.pad(images, missing, "edge")
        outputs = keras.ops.convert_to_numpy(model.predict_on_batch(images))
        yield outputs[:count], np.asarray(labels)
        progress.add(1)
    progress.finish()
    if not size:
        raise ValueError("dataset: must hold an image, got none. Check the split.")


def as_features(model, dataset, verbose=1):
    """Features of a data set; a pair of arrays is taken for features already."""
    if model is None:
        found, labels = dataset
        return np.asarray(found, "float32"), np.asarray(labels, "int64")
    return features(model, dataset, verbose)
