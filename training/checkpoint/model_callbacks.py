"""What happens between epochs: averages are shown, models are kept."""

import time

import keras

from keras_vit import files
from keras_vit.models import ImageModel
from keras_vit.training.checkpoint.retry_write import Patience
from keras_vit.training.engine import inner
from keras_vit.training.tasks import best_of


class KeepModels(keras.callbacks.Callback):
    """Keep the best and the last model, in memory at once, on disk now and then.

    An equal score counts as better: the later epoch has seen more.

    Args:
        folder: `RunFolder`.
        monitor: name of the score; which is better, `tasks.best_of` knows.
        seconds: at least so long between two writes; the end of training
            writes what is left.
    """

    def __init__(self, folder, monitor="val_top1", seconds=60.0):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.seconds = seconds
        self.best_epoch = None
        self.best_score = None
        self.epochs = 0
        self._best_weights = None
        self.spoilt = False  # whether the model has weights that are no numbers
        self._saved_best = None
        self._written = time.monotonic()
        self.patience = Patience("best and last model")

    def state(self):
        """(plain values, name -> array) that `resume` takes."""
        facts = {"best_epoch": self.best_epoch, "best_score": self.best_score}
        best = self._best_weights or []
        return facts, {f"best {k:05d}": array for k, array in enumerate(best)}

    def resume(self, facts, arrays):
        """Go on with what `state` gave; takes its arrays out of `arrays`."""
        self.best_epoch, self.best_score = facts["best_epoch"], facts["best_score"]
        names = sorted(name for name in arrays if name.startswith("best "))
        self._best_weights = [arrays.pop(name) for name in names] or None
        self.epochs = facts["epochs"]

    def on_epoch_end(self, epoch, logs=None):
        """Compare, remember, and write when it is time."""
        score = float(logs[self.monitor])
        self.epochs = epoch + 1
        if self._wins(score):
            self.best_score, self.best_epoch = score, epoch + 1
            self._best_weights = self.model.get_weights()
        if time.monotonic() - self._written >= self.seconds:
            self.patience.attempt(self.write)
            self._written = time.monotonic()

    def _wins(self, score):
        if self.best_score is None:
            return True
        if best_of(self.monitor) is min:
            return score <= self.best_score
        return score >= self.best_score

    def write(self):
        """Write both models, each whole or not at all.

        Raises:
            OSError: on a full disk; what lies there stays.
        """
        if not self.spoilt:
            _save(self.model, self.folder.last)
        if self._saved_best != self.best_epoch:
            last = self.model.get_weights()
            try:
                self.restore_best()
                _save(self.model, self.folder.best)
            finally:
                self.model.set_weights(last)
            self._saved_best = self.best_epoch

    def restore_best(self):
        """Put the best weights into the model, where there are any."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)


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
    """Validate and keep the averaged weights, train on with the plain ones.

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
        averages = optimizer._model_variables_moving_average
        return list(zip(optimizer._trainable_variables, averages, strict=True))
