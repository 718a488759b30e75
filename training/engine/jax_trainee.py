"""`JaxTrainee`: any Keras model in training on JAX's backend."""

import keras
import tensorflow as tf
from keras import tree

from keras_vit.training.engine import jax_devices


class JaxTrainee(keras.Model):
    """What `Trainee` is on TensorFlow; here Keras' own step does what that needs.

    Under `keras.distribution` the step is one program over the whole batch, wherever
    its parts are: gradients, clipping and dropout are those of one device.

    Args:
        inner: any built `keras.Model`, made under the distribution of the run. Its
            own `compute_loss` is used where it has one.

    Raises:
        ValueError: when `inner` has a `train_step` of its own, or nothing that can be
            shared under "model_parallel".
    """

    def __init__(self, inner):
        super().__init__(name=inner.name)
        if type(inner).train_step is not keras.Model.train_step:
            raise ValueError(
                "model: must leave the training step to the recipe, got "
                f"{type(inner).__name__} with a train_step of its own. Say what is "
                "made small in compute_loss, or call model.fit without a recipe."
            )
        jax_devices.check_cut(inner)
        self.inner = inner
        self.built = True

    def call(self, images):
        """What `inner` answers; Keras passes `training` on by itself."""
        return self.inner(images)

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`.

        At the end of `fit`, also of one that was stopped, Keras would put averages in
        the place of weights. `ShowAverage` has done so where it is right.
        """
        super().compile(optimizer, **options)
        self.inner._compile_loss = self._compile_loss  # for its own compute_loss
        self.optimizer.finalize_variable_values = lambda weights: None

    def _purge_model_variables(self, **kinds):
        # A purged variable would answer with new first values. One whose value was
        # handed over to a step, and not given back, fails when it is read.
        pass

    def compute_loss(self, *arguments, **options):
        """The mean over the images that are given, by `inner` if it has a rule."""
        if type(self.inner).compute_loss is keras.Model.compute_loss:
            return super().compute_loss(*arguments, **options)
        return self.inner.compute_loss(*arguments, **options)

    def build_state(self, element_spec):
        """Make optimiser, losses and scores know their shapes.

        Args:
            element_spec: of the batches.
        """
        batch = tree.map_structure(
            lambda spec: keras.KerasTensor(tuple(spec.shape), spec.dtype.name),
            element_spec,
        )
        self._symbolic_build(data_batch=batch)

    @property
    def distribute_strategy(self):
        """That of TensorFlow, which sees one device: JAX shares the work out."""
        return tf.distribute.get_strategy()

    def save(self, *arguments, **options):
        """Save the user's model."""
        self.inner.save(*arguments, **options)

    def get_config(self):
        """Refused: files hold the user's model."""
        raise TypeError(
            "JaxTrainee: is never saved, got get_config(). Use its `inner` model."
        )
