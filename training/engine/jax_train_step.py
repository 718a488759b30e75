"""`JaxTrainStep`: any Keras model in training on JAX's backend."""

import keras
import tensorflow as tf
from keras import tree

from keras_vit.private_keras import KeepsVariables, build_from_spec
from keras_vit.training.engine import jax_sharding
from keras_vit.training.engine.train_step_base import Wrapping


class JaxTrainStep(KeepsVariables, Wrapping):
    """The training step on JAX's backend: Keras' own, with images in the model's range.

    Under `keras.distribution` the step is one program over the whole batch, wherever
    its parts are: gradients, clipping and dropout are those of one device.

    Args:
        inner: any built `keras.Model`, made under the distribution of the run. Its
            own `compute_loss` is used where it has one.
        mode: range of the images that it takes, see `preprocess_input`.

    Raises:
        ValueError: when `inner` has a `train_step` of its own, or nothing that can be
            shared under "model_parallel".
    """

    def __init__(self, inner, mode="none"):
        super().__init__(inner, mode)
        jax_sharding.check_cut(inner)

    def train_step(self, state, data):
        """Keras' own, with images in the range of the model."""
        x, *rest = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step(state, (self.preprocess_inputs(x), *rest))

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`.

        At the end of `fit`, also of one that was stopped, Keras would put averages in
        the place of weights. `ShowAverage` has done so where it is right.
        """
        super().compile(optimizer, **options)
        self.optimizer.finalize_variable_values = lambda weights: None

    def build_state(self, element_spec):
        """Build the optimiser, the loss and the metrics for the shapes of a batch.

        Args:
            element_spec: of the batches.
        """
        batch = tree.map_structure(
            lambda spec: keras.KerasTensor(tuple(spec.shape), spec.dtype.name),
            element_spec,
        )
        build_from_spec(self, batch)

    @property
    def distribute_strategy(self):
        """That of TensorFlow, which sees one device: JAX shares the work out."""
        return tf.distribute.get_strategy()
