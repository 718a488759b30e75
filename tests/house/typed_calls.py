"""Calls that mypy reads, and never runs: the wrong ones must be seen (`make types`).

Where an error is no longer found, its `type: ignore` is unused, which is an error.
"""

from typing import assert_type

import keras_vit
from keras_vit import export, training
from keras_vit.export import Exported
from keras_vit.models import ImageModel


def named_models() -> None:
    """Each has the arguments of keras.applications."""
    model = keras_vit.ViT_B16(
        weights=None,
        include_top=True,
        input_shape=(224, 224, 3),
        classes=10,
        classifier_activation="softmax",
        drop_path=0.1,
    )
    assert_type(model, ImageModel)
    assert_type(keras_vit.BiT_R50x1(), ImageModel)
    assert_type(keras_vit.ImageGPT_S(image_size=32), keras_vit.ImageGPT)
    keras_vit.ViT_B16(weights=3)  # type: ignore[arg-type]
    keras_vit.ViT_B17()  # type: ignore[attr-defined]


def options() -> None:
    """The fields of `Architecture` and `Signature` are known where they are options."""
    model = keras_vit.VisionTransformer(width=64, heads=2)
    assert_type(model, ImageModel)
    keras_vit.VisionTransformer(widht=64)  # type: ignore[call-arg]
    keras_vit.VisionTransformer(width="64")  # type: ignore[arg-type]
    assert_type(export.to_tflite(model, "model.tflite", top=5), Exported)
    export.to_tflite(model, "model.tflite", tops=5)  # type: ignore[call-arg]


def rooms() -> None:
    """The other rooms have hints too, installed or not."""
    assert_type(training.fit("digits"), training.Result)
    training.fit(recipe=1)  # type: ignore[arg-type]
    keras_vit.layers.Patches(patch_size="16")  # type: ignore[arg-type]
    with export.through_litert_torch():
        pass
