"""Callbacks that keep the best and the last model, and validate averaged weights."""

import time

import keras

from keras_vit import files
from keras_vit.models import ImageModel
from keras_vit.private_keras import averages_of
from keras_vit.training.checkpoint.retry_write import Patience
from keras_vit.training.checkpoint.train_state import BestModel, TrainState
from keras_vit.training.engine import inner
from keras_vit.training.tasks import best_of


class KeepModels(keras.callbacks.Callback):
    """Keep the best and the last model, in memory at once, on disk now and then.

    An equal score counts as better: the later epoch has seen more.

    Args:
        folder: `RunFolder`.
        monitor: name of the score; which is better, `tasks.best_of` knows.
        state: `TrainState` that the run goes on from.
        seconds: at least so long between two writes; the end of training
            writes what is left.
    """

    def __init__(self, folder, monitor="val_top1", state=None, seconds=60.0):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.seconds = seconds
        state = TrainState() if state is None else state
        self.best, self.epochs = state.best, state.epoch
        self.spoilt = False  # whether weights of the model are NaN or infinite
        self._saved_best = None
        self._written = time.monotonic()
        self.patience = Patience("best and last model")

    def on_epoch_end(self, epoch, logs=None):
        """Compare, remember, and write when it is time."""
        score = float(logs[self.monitor])
        self.epochs = epoch + 1
        if self._wins(score):
            weights = tuple(self.model.get_weights())
            self.best = BestModel(epoch + 1, score, weights)
        if time.monotonic() - self._written >= self.seconds:
            self.patience.attempt(self.write)
            self._written = time.monotonic()

    def _wins(self, score):
        if self.best.score is None:
            return True
        if best_of(self.monitor) is min:
            return score <= self.best.score
        return score >= self.best.score

    def write(self):
        """Write both models, each whole or not at all.

        Raises:
            OSError: on a full disk; what lies there stays.
        """
        if not self.spoilt:
            _save(self.model, self.folder.last)
        if self._saved_best != self.best.epoch:
            last = self.model.get_weights()
            try:
                self.restore_best()
                _save(self.model, self.folder.best)
            finally:
                self.model.set_weights(last)
            self._saved_best = self.best.epoch

    def restore_best(self):
        """Put the best weights into the model, where there are any."""
        if self.best.weights:
            self.model.set_weights(self.best.weights)


def _save(model, path):
    """Save without the compilation, so that the file opens anywhere."""
    bare = model = inner(model)
    if getattr(model, "inputs", None):
        kind = ImageModel if isinstance(model, ImageModel) else keras.Model
        bare = kind(model.inputs[0], model.outputs[0], name=model.name)
    if isinstance(model, ImageModel):
        bare.preprocessing, bare.labels = model.preprocessing, model.labels
    files.check_space(path, 4 * model.count_params())
    with files.replacing(path, overwrite=True) as partial:
        bare.save(partial)


class ShowAverage(keras.callbacks.Callback):
    """Validate and keep the moving average of the weights (EMA), train the plain ones.

    Keras' own `SwapEMAWeights` does the same with four slow exchanges per epoch
    that round. Does nothing when the optimiser keeps no average. Must stand
    before what keeps models.
    """

    plain = None

    def on_test_begin(self, logs=None):
        """Put the average into the model, and the plain weights aside."""
        pairs = self._pairs()
        self.plain = [keras.ops.convert_to_numpy(weight) for weight, _ in pairs]
        for weight, average in pairs:  # a copy: JAX would let both share their memory
            weight.assign(keras.ops.convert_to_numpy(average))

    def on_epoch_begin(self, epoch, logs=None):
        """Put the plain weights back."""
        if self.plain is not None:
            for (weight, _), value in zip(self._pairs(), self.plain, strict=True):
                weight.assign(value)
            self.plain = None

    def _pairs(self):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", None)
        optimizer = optimizer or self.model.optimizer
        if not optimizer.use_ema:
            return []
        return averages_of(optimizer)
