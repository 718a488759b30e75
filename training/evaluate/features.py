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
    run = encoder(model)
    total = getattr(dataset, "cardinality", lambda: -1)()
    progress = keras.utils.Progbar(int(total) if total > 0 else None, verbose=verbose)
    found, labels = [], []
    for images, classes in dataset:
        found.append(keras.ops.convert_to_numpy(run.predict_on_batch(images)))
        labels.append(np.asarray(classes, "int64"))
        progress.add(1)
    if not found:
        raise ValueError("dataset: must hold an image, got none. Check the split.")
    return np.concatenate(found).astype("float32"), np.concatenate(labels)


def as_features(model, dataset, verbose=1):
    """Features of a data set; a pair of arrays is taken for features already."""
    if model is None:
        found, labels = dataset
        return np.asarray(found, "float32"), np.asarray(labels, "int64")
    return features(model, dataset, verbose)
