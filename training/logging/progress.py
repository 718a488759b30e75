"""Progress of a run: images per second, time left, and one line that says so."""

import collections
import datetime
import time

import keras

from keras_vit import progress

SECONDS = 30.0  # of the latest steps that the pace is taken over


class ShowProgress(keras.callbacks.Callback):
    """Show images/s, the time left, the learning rate, the loss and the scores.

    In a terminal or notebook the line is renewed; in a file there is a line at every
    tenth of an epoch, a minute apart or more, and one at its end. Must stand behind
    what completes the numbers of an epoch.

    Args:
        batch_size: images per step. epochs: of the run. verbose: 0 silent (the pace is
            taken all the same), 1 the line, 2 one line per epoch.
    """

    noted = 60.0  # seconds between two lines of a file

    def __init__(self, batch_size, epochs, verbose):
        super().__init__()
        self.batch_size, self.epochs, self.verbose = batch_size, epochs, verbose
        self.live = verbose == 1 and progress.is_live()
        self._marks = collections.deque()  # (time, steps of the epoch) of late steps
        self._pulse = progress.Pulse(self.live, self.noted)
        self._began = self._test_began = time.monotonic()
        self._epoch = self._first = 0
        self._validation = 0.0
        self._step_seconds = None
        self._compiled = False

    def on_epoch_begin(self, epoch, logs=None):
        """The clock of the epoch starts."""
        self._marks.clear()
        self._epoch, self._first = epoch, None
        self._began = time.monotonic()
        self._pulse.restart()

    def on_train_batch_begin(self, batch, logs=None):
        """The first step of an epoch may be one in the middle."""
        if self._first is None:
            self._first = batch
            if self._compiled:
                self._marks.append((time.monotonic(), batch))

    def on_train_batch_end(self, batch, logs=None):
        """Take the time; renew the line when it is due."""
        now = time.monotonic()
        # The first step of a run compiles, which says nothing about those that follow.
        self._marks.append((now, batch + 1))
        self._compiled = True
        while now - self._marks[0][0] > SECONDS and len(self._marks) > 2:
            self._marks.popleft()
        if len(self._marks) > 1:
            (then, before), steps = self._marks[0], batch + 1
            self._step_seconds = (now - then) / (steps - before)
        if self.verbose == 1 and self._pulse.is_due(batch + 1, self.params["steps"]):
            self._show(self._line(batch + 1, logs))

    def on_test_begin(self, logs=None):
        """Say that validation takes its time."""
        self._test_began = time.monotonic()
        if self.live:
            self._show(f"{self._name()}  validating")

    def on_test_end(self, logs=None):
        """Remember how long it took."""
        self._validation = time.monotonic() - self._test_began

    def on_epoch_end(self, epoch, logs=None):
        """One line that stays."""
        if not self.verbose:
            return
        parts = [self._name(), f"{_clock(time.monotonic() - self._began)}"]
        left = self.left(self.params["steps"])
        parts += [self._rate(), f"ETA {_clock(left)}" if left else "", *_numbers(logs)]
        self._show("  ".join(part for part in parts if part), stays=True)

    @property
    def images_per_second(self):
        """Of the latest steps; None until two are done."""
        seconds = self._step_seconds
        return None if seconds is None else self.batch_size / max(seconds, 1e-9)

    def left(self, step):
        """Seconds to the end of the run, after a step of this epoch, or None."""
        if self._step_seconds is None:
            return None
        epochs = self.epochs - self._epoch - 1
        steps = self.params["steps"] - step + epochs * self.params["steps"]
        return steps * self._step_seconds + epochs * self._validation

    def _name(self):
        return f"Epoch {self._epoch + 1}/{self.epochs}"

    def _rate(self):
        rate = self.images_per_second
        return "" if rate is None else f"{rate:,.0f} images/s"

    def _line(self, step, logs):
        steps, left = self.params["steps"], self.left(step)
        drawn = f" {progress.drawn(step / steps)}" if self.live else ""
        parts = [f"{self._name()} {step}/{steps}{drawn}"]
        parts += [self._rate(), "" if left is None else f"ETA {_clock(left)}"]
        rate = self.model.optimizer.learning_rate
        logs = {**logs, "learning_rate": float(keras.ops.convert_to_numpy(rate))}
        return "  ".join(part for part in [*parts, *_numbers(logs)] if part)

    def _show(self, line, stays=False):
        if self.live:
            progress.show(line, stays)
        else:
            progress.tell(line)


def _numbers(logs):
    """Learning rate, loss, then the scores, as text."""
    first = [name for name in ("learning_rate", "loss") if name in logs]
    rest = [name for name in logs if name not in first]
    texts = {name: f"{name} {logs[name]:.4f}" for name in [*first, *rest]}
    if "learning_rate" in logs:
        texts["learning_rate"] = f"lr {logs['learning_rate']:.2g}"
    return list(texts.values())


def _clock(seconds):
    """H:MM:SS of seconds.

    >>> _clock(3723.4)
    '1:02:03'
    """
    return str(datetime.timedelta(seconds=round(seconds)))
