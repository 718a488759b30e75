"""Nothing of a run is lost: its state is taken between steps and written in time."""

import json
import time

import keras
import numpy as np
from keras.src.utils import io_utils

from keras_vit.training import states
from keras_vit.training.stopping import StopSignals


class KeepState(keras.callbacks.Callback):
    """Write the state every few minutes, and when the run is stopped.

    Must stand behind `ShowAverage` and `KeepModels`. It is taken behind a step, never
    in a validation, where averaged weights are in the model: a run that is stopped
    there validates again. SIGTERM ends the run after the step, with exit code 143;
    Ctrl-C too, with KeyboardInterrupt. On a full disk training goes on.

    Args:
        states: `StateFolder`. keeper: `KeepModels`.
        facts: of the state that the run goes on from, or {}.
        seconds: at least so long between two writes, and `rest` times as long as a
            write takes.
        verbose: 0 silent.
    """

    rest = 20.0  # so writing takes a twentieth of the time at most

    def __init__(self, states, keeper, facts, seconds=60.0, verbose=0):
        super().__init__()
        self.states, self.keeper, self.seconds = states, keeper, seconds
        past = facts.get("history", {})
        self.history = {name: list(values) for name, values in past.items()}
        self.signals = StopSignals(verbose)
        self._position = facts.get("epochs", 0), facts.get("step", 0)
        self._logs = facts.get("logs", {})
        self._taken = None
        self._between = False
        self._written, self._pause = time.monotonic(), seconds

    def on_train_begin(self, logs=None):
        """Listen for signals."""
        self.signals.listen()

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch; its first step may be one in the middle."""
        if epoch != self._position[0]:
            self._position = epoch, 0
        self.signals.obey()

    def on_train_batch_begin(self, batch, logs=None):
        """Stop if told to; from here to the end of the step, the model is in no state.

        Raises:
            SystemExit, KeyboardInterrupt: see `StopSignals`.
        """
        self.signals.obey()
        self._between = False

    def on_train_batch_end(self, batch, logs=None):
        """Take the state when it is time, and before a validation."""
        self._position, self._logs = (self._position[0], batch + 1), dict(logs)
        self._between = True
        due = time.monotonic() - self._written >= self._pause
        if due or batch + 1 >= self.params["steps"]:
            self.take()
        if due:
            self.write()

    def on_test_begin(self, logs=None):
        """From here to the next step, the state is the one taken before."""
        self._between = False

    def on_test_batch_end(self, batch, logs=None):
        """Stop if told to."""
        self.signals.obey()

    def on_epoch_end(self, epoch, logs=None):
        """Remember the numbers of the epoch."""
        self._between = False
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def take(self):
        """Copy the state.

        Raises:
            FloatingPointError: when a weight is no number: such a state is no good.
        """
        epoch, step = self._position
        best_facts, best = self.keeper.state()
        facts = {**best_facts, "epochs": epoch, "step": step, "logs": self._logs}
        facts = json.loads(json.dumps({**facts, "history": self.history}))  # a copy
        arrays = states.capture(self.model)
        check_finite(arrays, epoch, step)
        arrays |= states.capture_scores(self.model) | best
        self._taken = epoch * self.params["steps"] + step, arrays, facts

    def write(self):
        """Write the state that was taken last, unless it lies there already.

        What a full disk does not take waits for the next time.
        """
        start = time.monotonic()
        try:
            if self._taken is not None:
                self.states.write(*self._taken)
            self._taken = None
        except OSError as err:
            io_utils.print_msg(
                f"\nCannot write the state of the run, training goes on: {err}"
            )
        self._written = time.monotonic()
        self._pause = max(self.seconds, self.rest * (self._written - start))

    def end(self):
        """The run was stopped: write where it stands, listen no more."""
        self.signals.deafen()
        try:
            if self._between:
                self.take()
        finally:
            self.write()

    def close(self):
        """The run is finished: its states are not needed any more."""
        self.signals.deafen()
        self.states.close()


def check_finite(arrays, epoch, step):
    """Refuse weights that are no numbers.

    Raises:
        FloatingPointError: naming some of them.
    """
    bad = [
        name.split(" ", 1)[1]
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]
    if bad:
        raise FloatingPointError(
            f"weights: must stay finite, got NaN or infinity in {len(bad)} "
            f"({', '.join(bad[:3])}) after step {step} of epoch {epoch + 1}."
        )
