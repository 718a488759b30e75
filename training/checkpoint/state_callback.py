"""The callback that checkpoints a run: takes its state between steps, writes it."""

import copy
import json
import math
import time

import keras
import numpy as np

from keras_vit import files
from keras_vit.training.checkpoint import train_state
from keras_vit.training.checkpoint.retry_write import Patience
from keras_vit.training.checkpoint.signals import StopSignals
from keras_vit.training.checkpoint.worker_sync import Agreement


class KeepState(keras.callbacks.Callback):
    """Write the state every few minutes, and when the run is stopped.

    Must stand behind `ShowAverage`, `KeepModels` and `WriteHistory`. The state is taken
    behind a step, never in a validation, where averaged weights are in the model: a run
    that is stopped there validates again. SIGTERM ends the run after the step, with
    exit code 143; Ctrl-C too, with KeyboardInterrupt. Several workers stop behind the
    same step, a signal to any of them is enough. On a full disk training goes on.
    A loss that is NaN or too large ends it, at the last good state.

    Args:
        run: `keras_vit.training.loop.Run`; no states where its batches are no function
            of the step. keeper: `KeepModels`. history: `WriteHistory`.
        verbose: 0 silent.
    """

    rest = 20.0  # times as long as a write takes, to the next: a twentieth at most

    def __init__(self, run, keeper, history, verbose=0):
        super().__init__()
        self.folder, self.keeper, self.history = run.folder, keeper, history
        self.feeds, self.limit = run.feeds, run.recipe.loss_limit
        self.seconds = 60 * run.recipe.save_minutes
        self.signals = StopSignals(verbose)
        self.agreed = None  # signal that all workers stop for, behind this step
        self.patience = Patience("the state of the run")
        self._position = run.state.epoch, run.state.step
        self._logs = run.state.logs
        self._taken = None
        self._between = False
        self._written, self._pause = time.monotonic(), self.seconds

    def on_train_begin(self, logs=None):
        """Listen for signals."""
        self.agreement = Agreement(self.model.distribute_strategy)
        self.signals.listen()

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch; its first step may be one in the middle."""
        if epoch != self._position[0]:
            self._position, self._logs = (epoch, 0), {}
        self._obey()

    def on_train_batch_begin(self, batch, logs=None):
        """Stop if told to; from here to the end of the step, the model is in no state.

        Raises:
            SystemExit, KeyboardInterrupt: see `StopSignals`.
        """
        self._obey()
        self._between = False

    def on_train_batch_end(self, batch, logs=None):
        """Check the loss; take the state when it is time, and before a validation.

        Raises:
            FloatingPointError: see `give_up`.
        """
        epoch, before = self._position
        loss = loss_of(before, self._logs, batch + 1, logs)
        if not loss <= self.limit:
            self.give_up(
                before, batch + 1, f"loss: must stay below {self.limit:g}", loss
            )
        self._position, self._logs = (epoch, batch + 1), dict(logs)
        self._between = True
        due = self._ask()
        if due or self.agreed or batch + 1 >= self.params["steps"]:
            self.take()
        if due:
            self.write()

    def _ask(self):
        """Whether the first worker finds that it is time to write; sees to signals."""
        due = time.monotonic() - self._written >= self._pause
        wishes = self.agreement.ask([self.signals.heard or 0, due])
        if wishes is None:
            return False
        if self.agreement.count > 1:
            self.agreed = int(wishes[:, 0].max()) or None
        return bool(wishes[0, 1])

    def _obey(self):
        """Stop if told to: at once when alone, else when all have heard of it."""
        alone = self.agreement.count == 1
        self.signals.obey(self.signals.heard if alone else self.agreed)

    def on_test_begin(self, logs=None):
        """From here to the next step, the state is the one taken before."""
        self._between = False

    def on_test_batch_end(self, batch, logs=None):
        """Stop if told to."""
        self._ask()
        self._obey()

    def on_epoch_end(self, epoch, logs=None):
        """A validation may have changed the model."""
        self._between = False

    def take(self):
        """Copy the state.

        Raises:
            FloatingPointError: see `give_up`; no state holds weights that are NaN.
        """
        if not self.feeds.resumable:
            return
        epoch, step = self._position
        variables = train_state.capture(self.model)
        bad = [name for name, array in variables.items() if not _is_finite(array)]
        if bad:
            names = ", ".join(name.split(" ", 1)[1] for name in bad[:3])
            what = f"weights: must stay finite, {len(bad)} are not ({names})"
            self.give_up(step - 1, step, what, self._logs.get("loss"))
        state = train_state.TrainState(
            epoch=epoch,
            step=step,
            variables=variables,
            metrics=train_state.capture_metrics(self.model, self.agreement),
            best=self.keeper.best,
            history=copy.deepcopy(self.history.numbers),  # which grows
            logs=self._logs,
        )
        self._taken = epoch * self.params["steps"] + step, state

    def write(self):
        """Write the state that was taken last, unless it lies there already.

        What a full disk does not take waits for the next time.
        """
        start = time.monotonic()
        if self._taken is not None:
            taken = self._taken
            if self.patience.attempt(lambda: self.folder.states.write(*taken)):
                self._taken = None
        self._written = time.monotonic()
        self._pause = max(self.seconds, self.rest * (self._written - start))

    def give_up(self, before, step, what, loss):
        """End a run whose loss or weights are NaN, back at the last good state.

        Args:
            before, step: steps of the epoch when all was well, and now.
            what: must hold. loss: of the steps between.

        Raises:
            FloatingPointError: naming the step, its images and the good state.
        """
        self._between = False
        self.write()
        epoch, steps = self._position[0], self.params["steps"]
        first = epoch * steps + before
        images = [n for s in range(first, epoch * steps + step) for n in self._names(s)]
        path = self.folder.path / "bad_batch.json"
        found = {"epoch": epoch + 1, "step": step, "loss": str(loss), "images": images}
        self.patience.attempt(lambda: _write_json(path, found))
        place = f"step {step} of epoch {epoch + 1}"
        if step - before > 1:
            place = f"steps {before + 1} to {step} of epoch {epoch + 1}"
        raise FloatingPointError(
            f"{what}, got loss {loss} in {place} (after {first} good steps). Images: "
            f"{', '.join(images[:3])}, ..., all of them in {path}. {self._go_back()} "
            "Lower learning_rate, lengthen warmup, or pass clipnorm=1.0."
        )

    def _names(self, step):
        if self.feeds.names is None:
            return [f"batch {step} of the data that were given"]
        return self.feeds.names(step)

    def _go_back(self):
        """Restore the last good state; a sentence on what there is."""
        good = self.folder.states.newest() if self.feeds.resumable else None
        if good is None:
            self.keeper.spoilt = True
            return f"No good state yet; {self.folder.best} is the best model, if any."
        train_state.restore(self.model, good.variables)
        return (
            f"The last good state is that of epoch {good.epoch + 1}, step "
            f"{good.step}, {self.folder.states.newest_path()}: {self.folder.last} "
            "has its weights."
        )

    def end(self):
        """The run was stopped: write where it stands, listen no more."""
        self.signals.deafen()
        try:
            if self._between and self.agreement.count == 1:
                self.take()
        finally:
            self.write()

    def close(self):
        """The run is finished: its states are not needed any more."""
        self.signals.deafen()
        if self.feeds.resumable:
            self.folder.states.close()


def loss_of(before, logs_before, now, logs):
    """Loss of the latest steps, from means over the epoch.

    `(now * mean(now) - before * mean(before)) / (now - before)`

    Args:
        before, now: steps of the epoch that the means are over.
        logs_before, logs: dicts with the means, "loss"; empty when before is 0.

    >>> loss_of(1, {"loss": 2.0}, 2, {"loss": 3.0})
    4.0
    """
    total = now * logs["loss"] - (before * logs_before["loss"] if before else 0.0)
    return total / (now - before)


def _write_json(path, found):
    with files.replacing(path, overwrite=True) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")


def _is_finite(array):
    """Whether no number is NaN or infinite; bfloat16 and integers are not looked at."""
    return array.dtype.kind != "f" or math.isfinite(float(np.sum(array, dtype="f8")))
