"""States of a run that is not finished: written whole, kept twice, checked when read.

A state is everything that the rest of a run depends on: weights, optimiser, averages,
random number generators, the best model so far, and the numbers of each epoch. Images
and their augmentation follow from the seed and the step. A run that goes on from a
state therefore ends with the same weights, bit for bit, as one that was never stopped.
"""

import json
import re
import shutil
import signal
import time

import keras
import numpy as np

from keras_vit import files
from keras_vit.weights.fetch import sha256

KEPT = 2  # states on disk: the newest and one to fall back to
NAME = re.compile(r"state-(\d+)\.npz")
TERMINATED = 143  # exit code of a process that ended on SIGTERM


class StateFolder:
    """The states of one run.

    Args:
        path: folder; it exists as long as the run is not finished.
    """

    def __init__(self, path):
        self.path = path

    def open(self):
        """Say that a run has begun."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def close(self):
        """Say that the run is finished."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write(self, epoch, arrays, facts):
        """Write a state, then let go of the oldest.

        Args:
            epoch: number of finished epochs.
            arrays: name -> numpy array. facts: plain values.

        Raises:
            OSError: when the disk is full; the states before it stay.
        """
        target = self.path / f"state-{epoch:05d}.npz"
        files.check_space(target, sum(array.nbytes for array in arrays.values()))
        with files.replacing(target, overwrite=True) as partial:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            digest = sha256(partial)
        # The note comes last: a state without one was never whole.
        with files.replacing(target.with_suffix(".json"), overwrite=True) as partial:
            partial.write_text(json.dumps({"sha256": digest, "facts": facts}))
        for number in self._numbers()[KEPT:]:
            old = self.path / f"state-{number:05d}.npz"
            old.with_suffix(".json").unlink(missing_ok=True)
            old.unlink(missing_ok=True)

    def _numbers(self):
        """Finished epochs of the states there are, newest first."""
        found = (NAME.fullmatch(path.name) for path in self.path.glob("state-*.npz"))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def newest(self):
        """The newest state that is whole: (arrays, facts), or None."""
        for number in self._numbers():
            path = self.path / f"state-{number:05d}.npz"
            try:
                note = json.loads(path.with_suffix(".json").read_text())
                if note["sha256"] != sha256(path):
                    continue
            except (OSError, ValueError, KeyError, TypeError):
                continue  # killed while writing, or damaged: the one before is good
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays), note["facts"]
        return None


def variables(model):
    """Every variable that the rest of a training depends on, by place and name.

    Not by path: there Keras counts optimisers and generators of random numbers.
    """
    found = [*model.variables, *model.optimizer.variables]
    return {f"{place:05d} {v.name}": v for place, v in enumerate(found)}


def capture(model):
    """Name -> value of `variables`, as numpy arrays."""
    convert = keras.ops.convert_to_numpy
    return {name: convert(v.value) for name, v in variables(model).items()}


def restore(model, arrays):
    """Give every variable its value back.

    Args:
        model: compiled, its optimiser built. arrays: as `capture` gave them.

    Raises:
        ValueError: when the state is that of another model or optimiser.
    """
    own = variables(model)
    other = own.keys() ^ arrays.keys()
    other |= {n for n in own.keys() & arrays.keys() if own[n].shape != arrays[n].shape}
    if other:
        names = ", ".join(sorted(name.split(" ", 1)[1] for name in other)[:5])
        raise ValueError(
            f"state: must be that of the same model and optimiser, got others in "
            f"{len(other)} variables ({names}). Pass the model that the run began "
            "with, or overwrite=True to begin anew."
        )
    for name, variable in own.items():
        variable.assign(arrays[name])


class KeepState(keras.callbacks.Callback):
    """Take the state before each epoch, write it now and then, and at the end.

    Must stand behind `ShowAverage`, which puts the plain weights back first. SIGTERM
    ends the run at the next step, with exit code 143 and the state on disk.

    Args:
        states: `StateFolder`. keeper: `KeepModels`.
        history: name -> list of numbers, of the epochs before.
    """

    seconds = 60.0  # at least so long between two writes

    def __init__(self, states, keeper, history):
        super().__init__()
        self.states, self.keeper = states, keeper
        self.history = {name: list(values) for name, values in history.items()}
        self._taken = None
        self._written = time.monotonic()
        self._terminated = False
        self._before = None

    def on_train_begin(self, logs=None):
        """Listen for SIGTERM, where that is possible: in the main thread."""
        try:
            self._before = signal.signal(signal.SIGTERM, self._note_signal)
        except ValueError:
            self._before = None

    def _note_signal(self, number, frame):
        self._terminated = True

    def on_train_batch_end(self, batch, logs=None):
        """End the run if it was told to.

        Raises:
            SystemExit: with 143.
        """
        if self._terminated:
            raise SystemExit(TERMINATED)

    def on_epoch_begin(self, epoch, logs=None):
        """Take the state; write it when it is time."""
        facts, best = self.keeper.state()
        facts = {**facts, "epochs": epoch, "history": self.history}
        facts = json.loads(json.dumps(facts))  # a copy that does not grow
        self._taken = epoch, {**capture(self.model), **best}, facts
        if time.monotonic() - self._written >= self.seconds:
            self.write()

    def on_epoch_end(self, epoch, logs=None):
        """Remember the numbers of the epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))

    def write(self):
        """Write the state that was taken last, unless it lies there already."""
        if self._taken is not None:
            self.states.write(*self._taken)
            self._taken = None
        self._written = time.monotonic()

    def end(self):
        """The run was stopped: write what is left, listen no more."""
        self._deafen()
        self.write()

    def close(self):
        """The run is finished: its states are not needed any more."""
        self._deafen()
        self.states.close()

    def _deafen(self):
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
