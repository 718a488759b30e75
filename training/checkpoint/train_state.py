"""States of a run that is not finished: written whole, several kept, checked when read.

A state is everything that the rest of a run depends on: weights, optimiser, averages,
random number generators, the scores of the epoch so far, the best model, and the
numbers of each epoch. Images and their augmentation follow from the seed and the step.
A run that goes on from a state therefore ends with the same weights, bit for bit, as
one that was never stopped.
"""

import json
import os
import re
import shutil

import keras
import numpy as np

from keras_vit import files
from keras_vit.training.engine import multi_worker
from keras_vit.weights.fetch import sha256

KEPT = 3  # states on disk: the newest and two to fall back to
NAME = re.compile(r"state-(\d+)\.npz")


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
        """Say that the run is finished, at once: the folder is renamed, then removed.

        Half-removed states of a finished run would look like those of a damaged one.
        """
        if not self.path.exists():
            return
        self.sweep()
        self.path.rename(self._done)
        self.sweep()

    def sweep(self):
        """Let go of the states of a finished run, and of half a state."""
        shutil.rmtree(self._done, ignore_errors=True)
        for rest in self.path.glob(".state-*"):
            shutil.rmtree(rest, ignore_errors=True)

    @property
    def _done(self):
        return self.path.with_name(f".{self.path.name}.done")

    def noted(self):
        """Names of the states that were written whole, damaged since or not."""
        notes = sorted(self.path.glob("state-*.json"))
        return [note.with_suffix(".npz").name for note in notes]

    def write(self, steps, arrays, facts):
        """Write a state, then let go of the oldest; on a full disk, the other way.

        Args:
            steps: number of finished steps of the run.
            arrays: name -> numpy array. facts: plain values.

        Raises:
            OSError: when the disk is full; the newest state stays.
        """
        try:
            self._write(steps, arrays, facts)
        except OSError:
            whole = self.newest_path()
            if whole is None or not self._forget(whole):
                raise
            self._write(steps, arrays, facts)
        self._forget(*self._paths()[:KEPT])

    def _write(self, steps, arrays, facts):
        target = self.path / f"state-{steps:09d}.npz"
        files.check_space(target, sum(array.nbytes for array in arrays.values()))
        with files.replacing(target, overwrite=True) as partial:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            digest = sha256(partial)
        # The note comes last: a state without one was never whole.
        with files.replacing(target.with_suffix(".json"), overwrite=True) as partial:
            partial.write_text(json.dumps({"sha256": digest, "facts": facts}))

    def _forget(self, *keep):
        """Let go of all states but some; whether there were any."""
        old = [path for path in self._paths() if path not in keep]
        for path in old:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return bool(old)

    def _paths(self):
        """Files of the states there are, newest first."""
        found = {NAME.fullmatch(path.name): path for path in self.path.glob("*.npz")}
        found.pop(None, None)
        return [found[m] for m in sorted(found, key=lambda m: int(m[1]), reverse=True)]

    def _whole(self):
        """(file, note) of the newest state that is whole, or (None, None)."""
        found = ((path, _note(path)) for path in self._paths())
        return next((pair for pair in found if pair[1]), (None, None))

    def newest_path(self):
        """File of the newest state that is whole, or None."""
        return self._whole()[0]

    def newest(self):
        """The newest state that is whole: (arrays, facts), or None."""
        path, note = self._whole()
        if path is None:
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays), note["facts"]


def _note(path):
    """What was written down about a state, or None when it is not whole."""
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        return note if note["sha256"] == sha256(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # killed while writing, or damaged: the one before is good


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


def capture_scores(model, agreement):
    """Scores of the epoch so far; all workers call it behind the same step.

    Each device adds up its own share; a sum of the copies would round otherwise.

    Args:
        model: in training. agreement: `Agreement`.

    Returns:
        Name -> (copies of all devices, ...) numpy array.
    """
    own = {}
    for place, variable in enumerate(model.metrics_variables):
        copies = [np.array(copy) for copy in _copies(model, variable)]
        own[f"score {place:05d} {variable.name}"] = np.stack(copies)
    if agreement.count == 1:
        return own
    rows = agreement.gather(np.concatenate([array.ravel() for array in own.values()]))
    ends = np.cumsum([array.size for array in own.values()])
    found = {}
    for (name, array), end in zip(own.items(), ends, strict=True):
        part = rows[:, end - array.size : end].astype(array.dtype)
        found[name] = part.reshape(-1, *array.shape[1:])
    return found


def restore_scores(model, arrays):
    """Give the devices of this worker back what `capture_scores` gave."""
    number, count = multi_worker.place(model.distribute_strategy)
    for variable, array in zip(model.metrics_variables, arrays.values(), strict=True):
        copies = _copies(model, variable)
        if len(array) != count * len(copies):  # other devices: only the sum counts
            rest = np.zeros((count * len(copies) - 1, *array.shape[1:]), array.dtype)
            array = np.concatenate([array.sum(0, keepdims=True), rest])
        for k, copy in enumerate(copies):
            copy.assign(array[number * len(copies) + k])


def _copies(model, variable):
    """The variable of each device of this process."""
    if keras.config.backend() == "jax":
        return [variable]
    return model.distribute_strategy.experimental_local_results(variable.value)


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
        array = arrays[name]  # numpy does not know bfloat16: two bytes are left of it
        variable.assign(array.view("bfloat16") if array.dtype.kind == "V" else array)
