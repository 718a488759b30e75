"""Share of images whose class is among the best k answers."""

import numpy as np

from keras_vit.training.evaluate.features import answers


def top_k(model, dataset, k=(1, 5), verbose=1):
    """Count right answers, exactly, over every image.

    Args:
        model: (B, H, W, C) -> (B, K) logits or probabilities.
        dataset: gives (images, labels); labels (B,) int, or (B, K) one-hot.
            Batches may differ in size.
        k: how many answers may be tried; one number or several. A k above K
            counts as K.
        verbose: 1 shows progress.

    Returns:
        Dict with "top1", "top5" and so on, shares 0..1, and "count", images.

    Raises:
        ValueError: for an empty data set, a k below 1, or labels that the model
            has no output for.
    """
    wanted = (k,) if isinstance(k, int) else tuple(k)
    if not wanted or min(wanted) < 1:
        raise ValueError(f"k: must be 1 or more, got {k!r}.")
    ranks = _ranks(model, dataset, verbose)
    if not ranks.size:
        raise ValueError("dataset: must hold an image, got none. Check the split.")
    scores = {f"top{limit}": float(np.mean(ranks < limit)) for limit in wanted}
    return {**scores, "count": int(ranks.size)}


def _ranks(model, dataset, verbose):
    """For each image, how many classes score better than the right one: (n,)."""
    ranks = [_rank(*pair) for pair in answers(model, dataset, verbose)]
    return np.concatenate(ranks) if ranks else np.zeros(0, "int64")


def _rank(logits, labels):
    labels = labels.argmax(axis=1) if labels.ndim == 2 else labels
    if labels.max() >= logits.shape[1] or labels.min() < 0:
        raise ValueError(
            f"labels: must be below {logits.shape[1]}, the outputs of the model, got "
            f"{labels.max()}. Evaluate on the classes it was trained for."
        )
    right = np.take_along_axis(logits, labels[:, None], axis=1)
    # Among equals the lowest index wins, as in argmax; NaN is never the answer.
    later = np.arange(logits.shape[1]) > labels[:, None]
    worse = (logits < right) | ((logits == right) & later)
    return logits.shape[1] - 1 - worse.sum(axis=1)
