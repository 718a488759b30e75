"""What a model says about images before its head: the input of every probe."""

import keras
import numpy as np


def encoder(model):
    """Cut the head off a classifier, if it has one.

    Args:
        model: (B, H, W, C) -> (B, K) with a last Dense layer, or (B, D) features. A
            subclassed model cannot be cut: it is taken for an encoder.

    Returns:
        `keras.Model`, (B, H, W, C) -> (B, D), sharing weights with `model`, or the
        model itself. With two heads (DeiT) it is what the first one reads.

    Raises:
        ValueError: when the model gives no vector per image.
    """
    if not getattr(model, "inputs", None):
        return model
    heads = [layer for layer in model.layers if layer.name == "head"]
    if not heads and isinstance(model.layers[-1], keras.layers.Dense):
        heads = [model.layers[-1]]
    outputs = [heads[0].input] if heads else model.outputs
    if len(outputs) > 1 or len(outputs[0].shape) != 2:
        shapes = ", ".join(str(output.shape) for output in outputs)
        raise ValueError(
            f"model: must give one vector per image, got an output of shape {shapes}. "
            "Build it with pooling='token' or 'gap'."
        )
    if not heads:
        return model
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, outputs[0], name="encoder")


def features(model, dataset, verbose=1):
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
    pairs = list(answers(encoder(model), dataset, verbose))
    found, labels = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    if found.ndim != 2:
        raise ValueError(
            f"model: must give one vector per image, got an output of shape "
            f"{found.shape}. Average over the tokens, for example."
        )
    return found.astype("float32"), labels.astype("int64")


def answers(model, dataset, verbose=1):
    """Run a data set through a model, batch by batch.

    Args:
        model: with `predict_on_batch`. dataset: gives (images, labels).
        verbose: 1 shows progress.

    Yields:
        (outputs, labels), numpy arrays.

    Raises:
        ValueError: for an empty data set.
    """
    outputs = None
    total = getattr(dataset, "cardinality", lambda: -1)()
    progress = keras.utils.Progbar(int(total) if total > 0 else None, verbose=verbose)
    for images, labels in dataset:
        if keras.config.backend() == "jax":  # which knows no tensors of tf.data
            images = np.asarray(images)
        outputs = keras.ops.convert_to_numpy(model.predict_on_batch(images))
        yield outputs, np.asarray(labels)
        progress.add(1)
    if outputs is None:
        raise ValueError("dataset: must hold an image, got none. Check the split.")


def as_features(model, dataset, verbose=1):
    """Features of a data set; a pair of arrays is taken for features already."""
    if model is None:
        found, labels = dataset
        return np.asarray(found, "float32"), np.asarray(labels, "int64")
    return features(model, dataset, verbose)
