"""The folder of a training run: what lies in it, and who may write there.

`best.keras` and `last.keras` load without this room; `history.csv` has one row
per epoch; `recipe.json` says how the run was made; `tensorboard/` is for
`tensorboard --logdir`. `states/` is there as long as the run is not finished: the same
call goes on from it.
"""

import dataclasses
import datetime
import json
import pathlib
import shutil

from keras_vit import files
from keras_vit.training.checkpoint import train_state
from keras_vit.training.checkpoint.train_state import StateFolder, TrainState

FREE = {
    "save_minutes",
    "loss_limit",
}  # fields of a recipe that do not decide what comes out
SHOWN = 200  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    Args:
        path: the folder.
        resumes: whether an unfinished run of the same recipe lies there.
    """

    path: pathlib.Path
    resumes: bool = False

    @property
    def best(self):
        """Model with the best validation score."""
        return self.path / "best.keras"

    @property
    def last(self):
        """Model as it was when training ended."""
        return self.path / "last.keras"

    @property
    def history(self):
        """One row per epoch."""
        return self.path / "history.csv"

    @property
    def recipe(self):
        """How the run was made."""
        return self.path / "recipe.json"

    @property
    def tensorboard(self):
        """Event files."""
        return self.path / "tensorboard"

    @property
    def states(self):
        """`StateFolder` of the run."""
        return StateFolder(self.path / "states")

    def create(self, recipe, info, model, resumable):
        """Make the folder, clear an earlier run, write down the recipe.

        Args:
            recipe, info, model: of the run.
            resumable: whether the run can go on after it was stopped.

        Raises:
            OSError: when the disk has no room for best and last model, each
                beside the one it replaces.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        files.check_space(self.best, 16 * model.count_params())
        for old in (self.best, self.last, self.history, self.recipe):
            old.unlink(missing_ok=True)
        shutil.rmtree(self.tensorboard, ignore_errors=True)
        if resumable:
            self.states.open()
        record = {"recipe": plain(recipe), **_facts(info)}
        with files.replacing(self.recipe) as path:
            path.write_text(json.dumps(record, indent=2) + "\n")

    def add_epochs(self, recipe, model, state, feeds):
        """Let a finished run go on: the recipe first, then a state to come back to.

        Args:
            recipe: with the epochs of both. model: compiled, with the last weights.
            state: `TrainState` behind the last epoch, with the best model.
            feeds: `Feeds`.
        """
        record = {**_read(self), "recipe": plain(recipe)}
        with files.replacing(self.recipe, overwrite=True) as path:
            path.write_text(json.dumps(record, indent=2) + "\n")
        if feeds.resumable:
            self.states.open()
            state = dataclasses.replace(state, variables=train_state.capture(model))
            self.states.write(state.epoch * feeds.steps, state)

    def state(self):
        """The state that an unfinished run goes on from.

        Returns:
            `TrainState`, which has not begun where the run begins anew: at its
            beginning, or where it was killed before its first state.

        Raises:
            FileExistsError: when none is whole, and beginning anew would lose work; or
                when another version of this package wrote it.
        """
        found = self.states.newest() if self.resumes else None
        if found is not None:
            return found
        damaged = self.states.noted()
        if self.resumes and damaged:
            lost = [path.name for path in (self.best, self.history) if path.exists()]
            raise FileExistsError(
                f"{self.states.path}: must hold a whole state to go on from, got "
                f"{', '.join(damaged)} (damaged). Beginning anew would delete "
                f"{', '.join(lost) or 'these'}: choose another output_dir, or pass "
                "overwrite=True."
            )
        return TrainState()

    def check_data(self, info):
        """Make sure that an unfinished run goes on with the data it began with.

        Args:
            info: `DataInfo` of the data now.

        Raises:
            FileExistsError: when they differ, with both.
        """
        before, now = _read(self), _facts(info)
        before = {name: before.get(name) for name in now}
        _compare(self, "on other data", before, now, "Bring those data back")

    def sweep(self):
        """Let go of what a killed process was writing; nobody else may write here."""
        self.states.sweep()
        for place in (self.best, self.last, self.history):
            for rest in place.parent.glob(f".{place.name}*"):
                shutil.rmtree(rest, ignore_errors=True)


def plain(recipe):
    """The fields of a recipe as JSON has them."""
    return json.loads(json.dumps(dataclasses.asdict(recipe), default=str))


def claim(path, recipe, overwrite=False):
    """Choose the folder of a run and check that it can be written.

    Args:
        path: where, or None for `runs/NAME-DATE-TIME` in the working folder.
        recipe: `Recipe`.
        overwrite: whether an earlier run may be replaced.

    Returns:
        `RunFolder`; nothing is made yet.

    Raises:
        FileExistsError: when an earlier run lies there and overwrite is False, unless
            it is an unfinished one of the same recipe.
        OSError: when nothing can be written there.
    """
    if path is None:
        now = datetime.datetime.now()
        path = pathlib.Path("runs") / f"{recipe.name}-{now:%Y%m%d-%H%M%S}"
    folder = RunFolder(pathlib.Path(path).expanduser().absolute())
    if not overwrite and folder.states.path.is_dir() and folder.recipe.is_file():
        _check_same(folder, recipe)
        return RunFolder(folder.path, resumes=True)
    for old in (folder.recipe, folder.best, folder.last, folder.history):
        if old.exists() and not overwrite:
            raise FileExistsError(
                f"{folder.path}: must not hold an earlier run, got {old.name} in it. "
                "Choose another output_dir, or pass overwrite=True."
            )
    inside = folder.recipe if folder.path.is_dir() else folder.path
    files.check_target(inside, overwrite)
    return folder


def _facts(info):
    """What there is to remember of the data of a run, as JSON has it."""
    found = {
        "class_names": info.class_names,
        "counts": info.counts,
        "skipped": info.skipped,
        "preprocessing": info.preprocessing.get_config(),
    }
    return json.loads(json.dumps(found))


def _read(folder):
    """What was written down about an unfinished run."""
    try:
        record = json.loads(folder.recipe.read_text())
        return {**record, "recipe": dict(record["recipe"])}
    except (ValueError, KeyError, TypeError) as err:
        raise FileExistsError(
            f"{folder.recipe}: must say how the unfinished run was made, got damage "
            f"({err!r}). Pass overwrite=True to begin anew."
        ) from err


def _check_same(folder, recipe):
    """Make sure that an unfinished run is one of this recipe."""
    before, now = _read(folder)["recipe"], plain(recipe)
    before = plain(type(recipe)(name="")) | before  # fields that are younger
    names = (before.keys() | now.keys()) - FREE
    kept = ({n: fields.get(n) for n in names} for fields in (before, now))
    _compare(folder, "of another recipe", *kept, "Repeat the first call")


def _compare(folder, what, before, now, remedy):
    """Make sure that two dicts with the same keys are equal."""
    other = [
        f"{name}={_short(before[name])} then and {_short(now[name])} now"
        for name in sorted(now)
        if before[name] != now[name]
    ]
    if other:
        raise FileExistsError(
            f"{folder.path}: holds an unfinished run {what}, got "
            f"{'; '.join(other)}. {remedy} to go on with it, or pass overwrite=True "
            "to begin anew."
        )


def _short(value):
    """A value for a message, however long it is."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
