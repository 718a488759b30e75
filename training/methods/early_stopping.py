"""Early stopping: a run whose score rises no more ends before its last epoch."""

import keras

from keras_vit.progress import tell
from keras_vit.training.tasks import best_of


class StopEarly(keras.callbacks.Callback):
    """Early stopping by the score that picks the best epoch.

    An equal score is no better one here. What it looks at is the history alone, which
    a run that goes on after a stop has too: it ends where it would have ended.

    Args:
        history: `WriteHistory`, which stands before. monitor: name of the score.
        patience: epochs without a better one, or None to go on to the end.
        verbose: 0 silent.
    """

    def __init__(self, history, monitor, patience, verbose=0):
        super().__init__()
        self.history, self.monitor = history, monitor
        self.patience, self.verbose = patience, verbose

    def on_epoch_end(self, epoch, logs=None):
        """Count, and stop."""
        if self.patience is None:
            return
        waited = epochs_since_best(self.history.numbers[self.monitor], self.monitor)
        if waited < self.patience:
            return
        self.model.stop_training = True
        if self.verbose:
            tell(f"Stopped early: no better {self.monitor} for {waited} epochs.")


def epochs_since_best(scores, monitor):
    """Epochs after the first one with the best score.

    Args:
        scores: one per epoch. monitor: their name, see `tasks.best_of`.

    >>> epochs_since_best([0.5, 0.7, 0.7, 0.6], "val_top1")
    2
    >>> epochs_since_best([0.5, 0.4], "val_loss")
    0
    """
    best = best_of(monitor)
    real = [score for score in scores if score == score]  # without NaN
    return len(scores) - 1 - scores.index(best(real)) if real else len(scores) - 1
