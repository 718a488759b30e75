"""Checkpoints of a run that is not finished: `TrainState`, and the folder they lie in.

A state is everything that the rest of a run depends on: weights, optimiser, averages,
random number generators, the metrics of the epoch so far, the best model, and the
history. Images and their augmentation follow from the seed and the step. A run that
goes on from a state therefore ends with the same weights, bit for bit, as one that was
never stopped. States are written whole; several are kept; each is checked when read.
"""

import dataclasses
import json
import os
import re
import shutil

import keras
import numpy as np

from keras_vit import files
from keras_vit.training.checkpoint.worker_sync import check_same
from keras_vit.training.engine import multi_worker
from keras_vit.weights.fetch import sha256

KEPT = 3  # states on disk: the newest and two to fall back to
NAME = re.compile(r"state-(\d+)\.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class BestModel:
    """The best epoch so far.

    Args:
        epoch: counted from 1; None before the first. score: by the recipe's monitor.
        weights: arrays as `model.get_weights` gives them; () before the first.
    """

    epoch: int | None = None
    score: float | None = None
    weights: tuple[np.ndarray, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainState:
    """A run between two training steps. `TrainState()` is one that has not begun.

    Args:
        epoch: whole epochs that are done. step: steps done of the next one.
        variables: name -> array, of model, optimiser, averages and random number
            generators, as `capture` gives them.
        metrics: name -> (devices, ...) array, running totals of the epoch so far, as
            `capture_metrics` gives them; {} at its beginning.
        best: `BestModel`.
        history: name -> one number per epoch.
        logs: name -> mean over the steps of the epoch so far.
    """

    epoch: int = 0
    step: int = 0
    variables: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    metrics: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    best: BestModel = BestModel()
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    logs: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def begun(self):
        """Whether any step was done."""
        return self.epoch + self.step > 0

    def to_file(self):
        """(name -> array, plain values), as they lie on disk."""
        best = {f"best {k:05d}": array for k, array in enumerate(self.best.weights)}
        facts = {
            "best_epoch": self.best.epoch,
            "best_score": self.best.score,
            "epochs": self.epoch,
            "step": self.step,
            "logs": self.logs,
            "history": self.history,
        }
        return {**self.variables, **self.metrics, **best}, facts

    @classmethod
    def from_file(cls, arrays, facts):
        """The state that `to_file` gave.

        Raises:
            ValueError: for plain values of another version of this package.
        """
        known = cls().to_file()[1].keys()
        if facts.keys() != known:
            raise ValueError(
                f"{', '.join(sorted(facts.keys() ^ known))} missing or unknown"
            )
        rest = dict(arrays)
        best = [rest.pop(name) for name in sorted(rest) if name.startswith("best ")]
        metrics = [name for name in sorted(rest) if name.startswith("score ")]
        return cls(
            epoch=facts["epochs"],
            step=facts["step"],
            metrics={name: rest.pop(name) for name in metrics},
            variables=rest,
            best=BestModel(facts["best_epoch"], facts["best_score"], tuple(best)),
            history=facts["history"],
            logs=facts["logs"],
        )


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

    def write(self, steps, state):
        """Write a state, then let go of the oldest; on a full disk, the other way.

        Args:
            steps: number of finished steps of the run.
            state: `TrainState`.

        Raises:
            OSError: when the disk is full; the newest state stays.
        """
        try:
            self._write(steps, state)
        except OSError:
            whole = self.newest_path()
            if whole is None or not self._forget(whole):
                raise
            self._write(steps, state)
        self._forget(*self._paths()[:KEPT])

    def _write(self, steps, state):
        arrays, facts = state.to_file()
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
        """The newest `TrainState` that is whole, or None.

        Raises:
            FileExistsError: when another version of this package wrote it.
        """
        path, note = self._whole()
        if path is None:
            return None
        with np.load(path, allow_pickle=False) as arrays:
            try:
                return TrainState.from_file(dict(arrays), note["facts"])
            except ValueError as err:
                raise FileExistsError(
                    f"{path}: must be a state of this version of keras_vit, got one "
                    f"with {err}. Finish the run with the version that began it, "
                    "choose another output_dir, or pass overwrite=True to begin anew."
                ) from err


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


def capture_metrics(model, agreement):
    """Metrics of the epoch so far; all workers call it behind the same step.

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


def restore_metrics(model, arrays):
    """Give the devices of this worker back what `capture_metrics` gave."""
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


def resume(model, state):
    """Put a state into a compiled model; all workers must have the same one.

    Args:
        model: compiled, its optimiser built. state: `TrainState`.

    Returns:
        The state without its variables, whose memory it lets go of.

    Raises:
        ValueError: when the state is that of another model or optimiser, or another
            worker has another one.
    """
    if state.variables:
        with model.distribute_strategy.scope():
            restore(model, state.variables)
    check_same(model.distribute_strategy, [state.epoch, state.step])
    return dataclasses.replace(state, variables={})


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
