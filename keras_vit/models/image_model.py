"""Functional Keras model with its preprocessing and labels."""

from typing import Any, Self

import keras

from keras_vit.layers.legacy import SUFFIXES, refuse_h5
from keras_vit.models.logit_losses import of_logits, warn_of_loss_around
from keras_vit.preprocess import Preprocessing
from keras_vit.types import Config, FilePath, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class ImageModel(keras.Model):
    """Functional `keras.Model` with preprocessing and labels attached.

    Both notes are saved in the `.keras` file. Everything else is Keras' own
    functional model: `get_layer`, `clone_model`, surgery on outputs.

    Attributes:
        preprocessing: `keras_vit.Preprocessing`, or None when unknown.
        labels: list of K class names, or None.
    """

    preprocessing: Preprocessing | None = None
    labels: list[str] | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        **options: Any,
    ) -> None:
        """Compile as Keras does; losses of probabilities get from_logits=True.

        Warns of it. Raises ValueError for a loss of probabilities that cannot be told.
        """
        loss = None if loss is None else of_logits(self, loss, "losses")
        metrics = None if metrics is None else of_logits(self, metrics, "metrics")
        super().compile(optimizer, loss, loss_weights, metrics, **options)

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Any = None,
        **options: Any,
    ) -> Tensor:
        """Call as Keras does; warns of a wrong loss around it in training."""
        if training:
            warn_of_loss_around(self)
        return super().call(inputs, training=training, mask=mask, **options)

    def compile_from_config(self, config: Config) -> None:
        """Compile from a config, which Keras skips where `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def save(self, filepath: FilePath, *arguments: Any, **options: Any) -> None:
        """As `keras.Model.save`, to a `.keras` file.

        Raises:
            ValueError: for `.h5`, from which it could not be loaded again.
        """
        if str(filepath).lower().endswith(SUFFIXES):
            refuse_h5(always=True)
        super().save(filepath, *arguments, **options)

    def get_config(self) -> Config:
        """Configuration of the functional graph, plus the two notes."""
        refuse_h5()
        note = self.preprocessing
        return {
            **super().get_config(),
            "preprocessing": None if note is None else note.get_config(),
            "labels": self.labels,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        """Rebuild from `get_config`."""
        config = dict(config)
        note, labels = config.pop("preprocessing", None), config.pop("labels", None)
        model = super().from_config(config, custom_objects=custom_objects)
        model.preprocessing = None if note is None else Preprocessing(**note)
        model.labels = None if labels is None else list(labels)
        for layer in model.layers:
            if not layer.trainable:  # Keras does not tell the layers inside
                layer.trainable = True  # setting what is set does nothing
                layer.trainable = False
        return model
