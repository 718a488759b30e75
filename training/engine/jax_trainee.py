"""`JaxTrainee`: any Keras model in training on the JAX backend."""

import keras
import tensorflow as tf
from keras import tree


class JaxTrainee(keras.Model):
    """What `Trainee` is on TensorFlow: there, JAX does by itself what that needs.

    Under `keras.distribution` the step is one program over the whole batch, wherever
    its parts are. Gradients and clipping are those of one device.

    Args:
        inner: any built `keras.Model`, made under the distribution of the run.
        micro_batch: must be None.
        xla: taken as it is: JAX always compiles.

    Raises:
        ValueError: for micro_batch, or when `inner` has a `train_step` of its own.
    """

    def __init__(self, inner, micro_batch=None, xla=False):
        super().__init__(name=inner.name)
        if micro_batch is not None:
            raise ValueError(
                "micro_batch: works on TensorFlow's backend alone, got micro_batch="
                f"{micro_batch} on JAX. Use more devices, or remat=True."
            )
        if type(inner).train_step is not keras.Model.train_step:
            raise ValueError(
                "model: must leave the training step to the recipe, got "
                f"{type(inner).__name__} with a train_step of its own. Say what is "
                "made small in compute_loss, or call model.fit without a recipe."
            )
        self.inner = inner
        self.built = True

    def call(self, images):
        """What `inner` answers; Keras passes `training` on by itself."""
        return self.inner(images)

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`."""
        super().compile(optimizer, **options)
        self.inner._compile_loss = self._compile_loss  # for its own compute_loss

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
        self._symbolic_build(
            data_batch=tree.map_structure(
                lambda spec: keras.KerasTensor(tuple(spec.shape), spec.dtype.name),
                element_spec,
            )
        )

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
