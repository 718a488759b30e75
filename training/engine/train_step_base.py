"""The base of the training steps of all backends."""

import keras
from keras import tree

from keras_vit.preprocess import preprocess_input
from keras_vit.private_keras import share_loss


class Wrapping(keras.Model):
    """A model in training: the weights, the loss and the files are those of `inner`.

    Args:
        inner: any built `keras.Model`. Its own `compute_loss` is used where it has one.
        mode: range of the images that it takes, see `preprocess_input`.

    Raises:
        ValueError: when `inner` has a `train_step` of its own.
    """

    def __init__(self, inner, mode="none"):
        super().__init__(name=inner.name)
        if type(inner).train_step is not keras.Model.train_step:
            raise ValueError(
                "model: must leave the training step to the recipe, got "
                f"{type(inner).__name__} with a train_step of its own. Define the "
                "loss in compute_loss, or call model.fit without a recipe."
            )
        self.inner, self.mode = inner, mode
        self.built = True

    def preprocess_inputs(self, images):
        """Training images in the range of the model, wherever they are bytes."""

        def one(image):
            is_bytes = keras.backend.standardize_dtype(image.dtype) == "uint8"
            return preprocess_input(image, self.mode) if is_bytes else image

        return tree.map_structure(one, images)

    def call(self, images):
        """The predictions of `inner`; Keras passes `training` on by itself."""
        return self.inner(images)

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`; `inner` has the loss for its own `compute_loss`."""
        super().compile(optimizer, **options)
        share_loss(self.inner, self)

    def compute_loss(self, *arguments, **options):
        """The loss: mean over the images, by `inner` if it has a `compute_loss`."""
        if type(self.inner).compute_loss is keras.Model.compute_loss:
            return super().compute_loss(*arguments, **options)
        return self.inner.compute_loss(*arguments, **options)

    def save(self, *arguments, **options):
        """Save the user's model."""
        self.inner.save(*arguments, **options)

    def get_config(self):
        """Refused: files hold the user's model."""
        raise TypeError(
            f"{type(self).__name__}: is never saved, got get_config(). Use its `inner` "
            "model."
        )


def inner(model):
    """The user's own model, out of what wraps it in training, or as it is."""
    return model.inner if isinstance(model, Wrapping) else model
