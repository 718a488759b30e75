"""Linear probe: how much a linear classifier reads out of frozen features."""

import math
from typing import Any

import keras
import numpy as np

from keras_vit.progress import Bar
from keras_vit.training.evaluate.features import as_features
from keras_vit.training.optim.optimizers import LARS
from keras_vit.training.optim.schedules import WarmupCosine

METHODS = ("lbfgs", "lars")
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
SHARED = 2**24  # values from which threads that wait for each other gain anything


def linear_probe(
    model: keras.Model | None,
    train: Any,
    test: Any,
    method: str = "lbfgs",
    penalty: float | None = None,
    epochs: int = 90,
    learning_rate: float = 0.1,
    seed: int = 0,
    verbose: int = 1,
) -> dict[str, Any]:
    """Train a linear classifier on the features of a frozen encoder.

    Features are computed once, so training images go in without augmentation.

    Args:
        model: classifier or encoder, see `encoder`; None when `train` and `test`
            are (features (N, D), labels (N,)) already.
        train: images to learn from. test: images to score.
        method: "lbfgs": logistic regression on standardised features, solved to the
            end. "lars": the recipe of MAE: batch norm without parameters, LARS, ten
            epochs of warm-up, cosine, batches of up to 16,384.
        penalty: of "lbfgs": half of it times the squared weights is added to the
            mean loss; None tries 1 to 1e-4 on a tenth of the training images held
            out, as long as that helps.
        epochs: of "lars". learning_rate: of "lars", per 256 images of a batch; both
            are for ImageNet, and small sets need more of one or the other.
        seed: of the held-out tenth, or of order and first weights.
        verbose: 1 shows progress.

    Returns:
        Dict with "top1", share 0..1, "count", test images, and "penalty" for
        "lbfgs".

    Raises:
        ValueError: for an unknown method, or a single class.

    Source:
        "lars": MAE, arXiv:2111.06377, table 10 and its code.
    """
    if method not in METHODS:
        raise ValueError(f"method: must be one of {METHODS}, got {method!r}.")
    x, y = as_features(model, train, verbose)
    x_test, y_test = as_features(model, test, verbose)
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"train: must hold two classes or more, got only class {y[0]}. Check the "
            "split."
        )
    if method == "lars":
        predict = _lars(x, y, epochs, learning_rate, seed, verbose)
        facts = {}
    else:
        x, x_test = standardised(x, x_test)
        penalty = choose_penalty(x, y, seed)[0] if penalty is None else penalty
        predict = logistic(x, y, penalty)
        facts = {"penalty": penalty}
    top1 = float(np.mean(predict(x_test) == y_test))
    return {"top1": top1, "count": len(x_test), **facts}


def standardised(x, *others):
    """Features with mean 0 and deviation 1 over the first; the rest moved alike."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    return [(rows - mean) / deviation for rows in (x, *others)]


def choose_penalty(x, y, seed):
    """The penalty that does best on a tenth of the images held out.

    Args:
        x: (N, D) standardised features. y: (N,) int labels. seed: of the draw.

    Returns:
        Penalty, and its top-1 on the held-out images, NaN where too few images are
        left to learn two classes from.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = np.split(order, [max(1, len(x) // 10)])
    if len(np.unique(y[kept])) < 2:
        return 1e-2, math.nan

    def share(penalty):
        predict = logistic(x[kept], y[kept], penalty)
        return float(np.mean(predict(x[held]) == y[held]))

    best, found = PENALTIES[0], share(PENALTIES[0])
    for penalty in PENALTIES[1:]:  # the weaker, the slower
        new = share(penalty)
        if new < found:
            break
        best, found = penalty, new
    return best, found


def logistic(x, y, penalty):
    """Logistic regression on standardised features, as a function of features."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    strength = 1.0 / (penalty * len(x))
    classifier = LogisticRegression(C=strength, max_iter=1000)
    with threadpool_limits(1 if x.size < SHARED else None):
        return classifier.fit(x, y).predict


def _lars(x, y, epochs, learning_rate, seed, verbose):
    """Batch norm and a dense layer, as MAE's main_linprobe trains them."""
    keras.utils.set_random_seed(seed)
    classes = int(y.max()) + 1
    batch = min(len(x), 16_384)
    steps = -(-len(x) // batch)
    normal = keras.initializers.TruncatedNormal(stddev=0.01)
    head = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            keras.layers.BatchNormalization(center=False, scale=False, epsilon=1e-6),
            keras.layers.Dense(classes, kernel_initializer=normal),
        ]
    )
    warmup = min(10 * steps, epochs * steps - 1)
    rate = WarmupCosine(learning_rate * batch / 256, epochs * steps, warmup)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(LARS(rate), loss)
    bar = Bar(epochs, "epoch", verbose)
    shown = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.add())
    head.fit(x, y, batch, epochs, verbose=0, callbacks=[shown])
    return lambda rows: head.predict(rows, batch_size=batch, verbose=0).argmax(axis=1)
