"""A task with a label for every pixel, made known from outside of the package."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit import tasks as outputs
from keras_vit.training import tasks
from keras_vit.training.tasks.base import label_error

OUTSIDE = -1


def reduced(labels, shape):
    """(B, H, W) labels at the size (h, w) of scores (B, h, w, K): every nth one."""
    rows, columns = labels.shape[1] // shape[1], labels.shape[2] // shape[2]
    return labels[:, ::rows, ::columns]


def hits(y_true, y_pred):
    """(B,) share of the labelled pixels that are right."""
    labels = reduced(y_true, y_pred.shape)
    known = ops.cast(labels != OUTSIDE, "float32")
    right = ops.cast(
        ops.equal(labels, ops.cast(ops.argmax(y_pred, -1), "int32")), "float32"
    )
    return ops.sum(right * known, (1, 2)) / ops.maximum(ops.sum(known, (1, 2)), 1.0)


class PixelLoss(keras.losses.Loss):
    """Cross-entropy over the labelled pixels."""

    def call(self, y_true, y_pred):
        labels = reduced(y_true, y_pred.shape)
        known = ops.cast(labels != OUTSIDE, "float32")
        each = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(labels, 0), y_pred, from_logits=True
        )
        return ops.sum(each * known, (1, 2)) / ops.maximum(ops.sum(known, (1, 2)), 1.0)


class PixelOutput(outputs.OutputTask):
    """Scores (B, h, w, K)."""

    name, purpose = "pixels", "Pixel labels"
    score, unit = "pixel accuracy", "pixel"

    def classes(self, output):
        known = output.name.partition("_")[0] in ("logits", "probabilities")
        return output.shape[-1] if known and len(output.shape) == 4 else None

    def check_labels(self, labels, count, output):
        labels = np.asarray(labels)
        if labels.ndim != 3 or len(labels) != count:
            raise ValueError(f"labels: must be {count} of (H, W), got {labels.shape}.")
        return labels

    def rows(self, scores):
        return scores.reshape(-1, scores.shape[-1])

    def targets(self, labels, shape):
        labels = reduced(np.asarray(labels, "int64"), shape).ravel()
        return np.where(labels == OUTSIDE, outputs.UNJUDGED, labels)


class PixelTask(tasks.Task):
    """A class for every pixel."""

    name, output = "pixels", PixelOutput()
    monitors = {"val_pixel_accuracy": max, "val_loss": min}
    target, target_rank, in_image, outside = "numbers (H, W)", 2, True, OUTSIDE

    def fits(self, model, target_shape):
        shape = getattr(model, "output_shape", None) or ()
        return len(shape) == 4 or (target_shape is not None and len(target_shape) == 2)

    def check_targets(self, where, targets, images):
        if targets.shape != images.shape[:3]:
            raise label_error(where, "one per pixel", targets, "Resize them.")
        return targets.astype("int32")

    def loss(self, model, recipe):
        return PixelLoss()

    def metrics(self, info):
        return [keras.metrics.MeanMetricWrapper(hits, "pixel_accuracy")]


@pytest.fixture(scope="session")
def pixel_task():
    """Registered as long as it is used, without a change in the package."""
    task = PixelTask()
    tasks.register(task)
    yield task
    del tasks.TASKS[task.name], outputs.OUTPUT_TASKS[task.output.name]


@pytest.fixture(scope="session")
def squares():
    """(images, labels): bright squares on dark ground, labels (n, 16, 16)."""
    random = np.random.default_rng(0)
    images = np.zeros((48, 16, 16, 3), "uint8")
    for image in images:
        top, left = random.integers(1, 8, 2)
        image[top : top + 7, left : left + 7] = 255
    return images, (images[..., 0] > 127).astype("int64")
