"""Resume a run of `model.fit` in the middle of an epoch.

Keras counts epochs whole. Here its first epoch has all its steps, but those that were
done before are passed over: nothing is computed, no batch is taken, and no callback
hears of them. Batch numbers, epoch numbers, schedules and the length of an epoch are
what they would have been.
"""

import contextlib

import keras

from keras_vit.private_keras import train_function_inside
from keras_vit.training.checkpoint import train_state


class PassOver(keras.callbacks.CallbackList):
    """The callbacks of `model.fit`, which hear nothing of the steps done before.

    Args:
        callbacks: list. model: compiled.
        state: `TrainState` that the run goes on from.
        **params: of `keras.callbacks.CallbackList`.
    """

    def __init__(self, callbacks, model, state, **params):
        self.done, self.metrics = state.step, state.metrics
        super().__init__(callbacks, add_history=True, model=model, **params)

    def on_epoch_begin(self, epoch, logs=None):
        """Bring the metrics to where they were; Keras has just reset them."""
        super().on_epoch_begin(epoch, logs)
        if self.metrics:
            train_state.restore_metrics(self.model, self.metrics)
        self.metrics = None

    def on_train_batch_begin(self, batch, logs=None):
        """Pass it on, once the steps that were done are over."""
        if batch >= self.done:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Pass it on, once the steps that were done are over."""
        if batch >= self.done:
            if keras.config.backend() == "jax":  # which keeps the state to itself
                self.model.jax_state_sync()
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Pass everything on from now on."""
        self.done = 0
        super().on_epoch_end(epoch, logs)


@contextlib.contextmanager
def passing_over(model, state):
    """In the block, the first steps of `model.fit` do nothing.

    Args:
        model: compiled. state: `TrainState` that it goes on from; its steps, a multiple
            of `steps_per_execution`, are passed over, and return its logs.
    """
    if not state.step:
        yield
        return
    left = state.step

    def passing(real):
        def train(*state_and_data):
            nonlocal left
            if left <= 0:
                return real(*state_and_data)
            left -= model.steps_per_execution
            *arrays, _ = state_and_data  # JAX hands variables over, TensorFlow does not
            return (state.logs, *arrays) if arrays else state.logs

        return train

    with train_function_inside(model, passing):
        yield
