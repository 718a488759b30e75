"""The folder of a training run: what lies in it, and who may write there.

`best.keras` and `last.keras` load without this room; `history.csv` has one row
per epoch; `recipe.json` says how the run was made; `tensorboard/` is for
`tensorboard --logdir`.
"""

import dataclasses
import datetime
import json
import pathlib
import shutil

from keras_vit import files


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    Args:
        path: the folder.
    """

    path: pathlib.Path

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

    def create(self, recipe, info, model):
        """Make the folder, clear an earlier run, write down the recipe.

        Raises:
            OSError: when the disk has no room for best and last model, each
                beside the one it replaces.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        files.check_space(self.best, 16 * model.count_params())
        for old in (self.best, self.last, self.history, self.recipe):
            old.unlink(missing_ok=True)
        shutil.rmtree(self.tensorboard, ignore_errors=True)
        record = {
            "recipe": dataclasses.asdict(recipe),
            "class_names": list(info.class_names),
            "counts": info.counts,
            "skipped": list(info.skipped),
            "preprocessing": info.preprocessing.get_config(),
        }
        with files.replacing(self.recipe) as path:
            path.write_text(json.dumps(record, indent=2, default=str) + "\n")


def claim(path, name, overwrite=False):
    """Choose the folder of a run and check that it can be written.

    Args:
        path: where, or None for `runs/NAME-DATE-TIME` in the working folder.
        name: of the recipe.
        overwrite: whether an earlier run may be replaced.

    Returns:
        `RunFolder`; nothing is made yet.

    Raises:
        FileExistsError: when an earlier run lies there and overwrite is False.
        OSError: when nothing can be written there.
    """
    if path is None:
        now = datetime.datetime.now()
        path = pathlib.Path("runs") / f"{name}-{now:%Y%m%d-%H%M%S}"
    folder = RunFolder(pathlib.Path(path).expanduser().absolute())
    for old in (folder.recipe, folder.best, folder.last, folder.history):
        if old.exists() and not overwrite:
            raise FileExistsError(
                f"{folder.path}: must not hold an earlier run, got {old.name} in it. "
                "Choose another output_dir, or pass overwrite=True."
            )
    inside = folder.recipe if folder.path.is_dir() else folder.path
    files.check_target(inside, overwrite)
    return folder
