"""Base class of contrastive models, their projection head, and loss helpers."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.models.pretraining import EncoderModel, encoder_architecture
from keras_vit.types import Config, Tensor

# Architecture fields that contrastive learning fixes: one vector per image.
CONTRASTED = {"include_top": False, "distilled": False, "stem": None}


class ContrastiveModel(EncoderModel):
    """A Vision Transformer trained by a contrastive loss over two views.

    All images of a step are compared with each other, on however many devices. Heads
    and loss compute in float32, whatever the encoder computes in.

    Args:
        name: of the model unless options say it. temperature: of the loss, above 0.
        options: fields of `Architecture`.

    Attributes:
        encoder: functional model, images -> features (B, D).
    """

    views = 2
    whole_batch = True
    fixed = CONTRASTED

    def __init__(self, name: str, temperature: float, options: Config) -> None:
        _check(temperature, options)
        arch = encoder_architecture(name, "imagenet", options, self.fixed)
        super().__init__(arch, 0, "float32")  # nothing is drawn in a call
        self.temperature = temperature

    def make_train_function(self, force: bool = False) -> Callable:
        """As Keras, whose `fit` asks for it.

        Raises:
            ValueError: for an optimiser that adds up gradients of several batches,
                each of which would be compared for itself.
        """
        steps = getattr(self.optimizer, "gradient_accumulation_steps", None)
        if steps:
            raise ValueError(
                f"gradient_accumulation_steps: must be None for {self.name!r}, whose "
                f"loss compares all images of a batch, got {steps}. Use a larger batch "
                "on more devices."
            )
        return super().make_train_function(force)

    def flat(self, images: Tensor) -> Tensor:
        """Flatten views: (B, 2, H, W, C) -> (2 B, H, W, C)."""
        if len(images.shape) != 5 or images.shape[1] != 2:
            raise ValueError(
                f"{self.name}: takes two views of each image, (B, 2, H, W, C), got "
                f"shape {tuple(images.shape)}. Load data with augment='simclr', or use "
                "model.encoder for the features of single images."
            )
        return ops.reshape(images, (-1, *self.image_shape))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool | None = True,
    ) -> Tensor:
        """Contrastive loss of `call`'s outputs; labels and weights are unused."""
        # Not by `add_loss` in `call`: devices that wait for each other in the middle
        # of it would find the losses of all of them in the model's one list.
        return self.compare(y_pred)

    def get_config(self) -> Config:
        """Plain values that rebuild this model."""
        config = {**super().get_config(), "temperature": self.temperature}
        del config["seed"]
        return config


@keras.saving.register_keras_serializable("keras_vit")
class ContrastHead(keras.layers.Layer):
    """Projection head: dense layers with batch norm, and ReLU between.

    Statistics are those of all devices together, as the papers have it: on TensorFlow
    they are summed over the devices, on JAX a batch is one array wherever it lies.

    Args:
        units: of each dense layer. last_scale: whether the last norm has a factor per
            channel; it never has a shift.

    Call:
        features: (B, D). Returns: (B, units[-1]).
    """

    def __init__(self, units, last_scale=False, **kwargs):
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.last_scale = last_scale
        last = len(self.units) - 1
        self.parts = []
        for index, count in enumerate(self.units):
            dense = keras.layers.Dense(
                count, use_bias=False, dtype=self.dtype_policy, name=f"dense_{index}"
            )
            norm = keras.layers.BatchNormalization(
                momentum=0.9,
                epsilon=1e-5,
                center=index < last,
                scale=index < last or last_scale,
                synchronized=keras.config.backend() == "tensorflow",
                dtype=self.dtype_policy,
                name=f"norm_{index}",
            )
            self.parts += [dense, norm]

    def build(self, input_shape):
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)

    def call(self, features, training=None):
        for index in range(len(self.units)):
            if index:
                features = ops.relu(features)
            dense, norm = self.parts[2 * index : 2 * index + 2]
            features = norm(dense(features), training=training)
        return features

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "units": list(self.units),
            "last_scale": self.last_scale,
        }


def unit(rows):
    """Normalise vectors to length 1, (B, D)."""
    return rows * ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + 1e-12)


def own_places(rows, everyone, first):
    """One-hot rows of these among all images: (b, B) float32.

    Args:
        rows: (b, D). everyone: (B, D). first: place of the first of `rows`.
    """
    places = ops.expand_dims(first + ops.arange(ops.shape(rows)[0]), -1)
    return ops.cast(places == ops.arange(ops.shape(everyone)[0]), "float32")


def _check(temperature, options):
    if not temperature > 0:
        raise ValueError(
            f"temperature: must be above 0, got {temperature!r}. Use 0.1 or 0.2."
        )
    if options.get("pooling", "token") is None:
        raise ValueError(
            "pooling: must give one vector per image, got None. Use 'token' or 'gap'."
        )
