"""A run of `model.fit` that begins in the middle of an epoch.

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
        done: steps of the first epoch that were done before.
        scores: what `states.capture_scores` gave after them, or {}.
        **params: of `keras.callbacks.CallbackList`.
    """

    def __init__(self, callbacks, model, done, scores, **params):
        self.done, self.scores = done, scores
        super().__init__(callbacks, add_history=True, model=model, **params)

    def on_epoch_begin(self, epoch, logs=None):
        """Bring the scores to where they were; Keras has just cleared them."""
        super().on_epoch_begin(epoch, logs)
        if self.scores:
            train_state.restore_scores(self.model, self.scores)
        self.scores = None

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
        """From now on all is heard."""
        self.done = 0
        super().on_epoch_end(epoch, logs)


@contextlib.contextmanager
def passing_over(model, done, logs):
    """In the block, the first steps of `model.fit` do nothing.

    Args:
        model: compiled. done: steps to pass over, a multiple of
            `steps_per_execution`.
        logs: what the last of them had returned.
    """
    if not done:
        yield
        return
    left = done

    def passing(real):
        def train(*state_and_data):
            nonlocal left
            if left <= 0:
                return real(*state_and_data)
            left -= model.steps_per_execution
            *state, _ = state_and_data  # JAX hands the state over, TensorFlow does not
            return (logs, *state) if state else logs

        return train

    with train_function_inside(model, passing):
        yield
