"""Classification: one of K classes for each image."""

import numpy as np

from keras_vit import tasks
from keras_vit.errors import DataError
from keras_vit.models import VisionTransformer, create
from keras_vit.models.output_activation import ending
from keras_vit.training.optim.losses import make_loss
from keras_vit.training.optim.metrics import TopK
from keras_vit.training.tasks.base import Task, label_error


class Classification(Task):
    """Targets (B,) class indices; (B, K) shares where images are mixed."""

    name = "classification"
    output: tasks.OutputTask = tasks.CLASSIFICATION
    monitors = {"val_top1": max, "val_loss": min}
    takes_new_head = True

    def fits(self, model, target_shape):
        """Always: what no other task knows is taken for classification."""
        return True

    def check_targets(self, where, targets, images):
        """(n,) int32 from whole numbers (n,) or (n, 1), counted from 0."""
        if targets.ndim == 2 and targets.shape[1] == 1:  # as keras.datasets.cifar10
            targets = targets[:, 0]
        whole = np.issubdtype(targets.dtype, np.integer)
        if targets.shape != images.shape[:1] or not whole or targets.min() < 0:
            wanted = f"{len(images)} whole numbers from 0"
            hint = "Use argmax on one-hot labels."
            raise label_error(where, wanted, targets, hint)
        return targets.astype("int32")

    def check_model(self, model):
        """Images (B, H, W, C) in, scores (B, K) out."""
        shapes = [tuple(model.input_shape), tuple(model.output_shape)]
        if len(shapes[0]) != 4 or len(shapes[1]) != 2:
            raise ValueError(
                "model: must map images (B, H, W, C) to scores (B, K), got "
                f"{shapes[0]} to {shapes[1]}. Give it a head for classes."
            )

    def build(self, recipe, info):
        """A Vision Transformer, or another by its name, with a head for the classes."""
        shape = (*info.image_size, info.channels)
        options = {} if isinstance(recipe.model, str) else dict(recipe.model)
        variant = options.pop("variant", recipe.model)
        if isinstance(variant, str):
            given = {"input_shape": shape, "classes": info.classes}
            return create(variant, **{**given, "dtype": recipe.precision, **options})
        return VisionTransformer(
            **{
                "image_size": info.image_size,
                "channels": info.channels,
                "classes": info.classes,
                "dtype": recipe.precision,
                **recipe.model,
            }
        )

    def check_classes(self, model, info):
        """Two classes or more, and an output for each."""
        if info.classes < 2:
            raise DataError(
                f"{info.source}: must hold two classes or more, got only "
                f"{info.class_names[0]!r}. Add images of another class."
            )
        classes = model.output_shape[-1]
        if classes != info.classes:
            raise ValueError(
                f"model: must have {info.classes} outputs, one per class of "
                f"{info.source}, got {classes}. Build it with classes={info.classes}."
            )

    def introduction(self, model):
        """Nothing: it is the usual task."""
        return ""

    def loss(self, model, recipe):
        """Cross-entropy by softmax or sigmoid, see `make_loss`."""
        return make_loss(recipe, ending(model))

    def metrics(self, info):
        """Top-1, and top-5 of more than five classes."""
        five = [TopK(5, name="top5")] if info.classes > 5 else []
        return [TopK(1, name="top1"), *five]
