"""What a model says about images before its head: the input of every probe."""

import keras
import numpy as np


def encoder(model):
    """Cut the head off a classifier, if it has one.

    Args:
        model: (B, H, W, C) -> (B, K) with a last Dense layer, or (B, D) features.

    Returns:
        `keras.Model`, (B, H, W, C) -> (B, D), sharing weights with `model`. With two
        heads (DeiT) it is what the first one reads.

    Raises:
        ValueError: when the model gives no vector per image.
    """
    heads = [layer for layer in model.layers if layer.name == "head"]
    if not heads and isinstance(model.layers[-1], keras.layers.Dense):
        heads = [model.layers[-1]]
    output = heads[0].input if heads else model.output
    if isinstance(output, list) or len(output.shape) != 2:
        shape = [t.shape for t in output] if isinstance(output, list) else output.shape
        raise ValueError(
            f"model: must give one vector per image, got an output of shape {shape}. "
            "Build it with pooling='token' or 'gap'."
        )
    return keras.Model(model.inputs, output, name="encoder")


def features(model, dataset, verbose=1):
    """Run a data set through an encoder.

    Args:
        model: as in `encoder`.
        dataset: gives (images, labels); labels (B,) int.
        verbose: 1 shows progress.

    Returns:
        (N, D) float32 features, (N,) int64 labels.

    Raises:
        ValueError: for an empty data set.
    """
    pairs = list(answers(encoder(model), dataset, verbose))
    if not pairs:
        raise ValueError("dataset: must hold an image, got none. Check the split.")
    found, labels = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    return found.astype("float32"), labels.astype("int64")


def answers(model, dataset, verbose=1):
    """Run a data set through a model, batch by batch.

    Args:
        model: with `predict_on_batch`. dataset: gives (images, labels).
        verbose: 1 shows progress.

    Yields:
        (outputs, labels), numpy arrays.
    """
    total = getattr(dataset, "cardinality", lambda: -1)()
    progress = keras.utils.Progbar(int(total) if total > 0 else None, verbose=verbose)
    for images, labels in dataset:
        outputs = keras.ops.convert_to_numpy(model.predict_on_batch(images))
        yield outputs, np.asarray(labels)
        progress.add(1)


def as_features(model, dataset, verbose=1):
    """Features of a data set; a pair of arrays is taken for features already."""
    if model is None:
        found, labels = dataset
        return np.asarray(found, "float32"), np.asarray(labels, "int64")
    return features(model, dataset, verbose)
