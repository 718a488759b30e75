"""More epochs for a run that is finished."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import keras

from keras_vit import weights
from keras_vit.training import loop
from keras_vit.training.build_model import check_given
from keras_vit.training.checkpoint import run_folder
from keras_vit.training.checkpoint.train_state import BestModel, TrainState
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.engine.strategy import Strategy
from keras_vit.training.logging import plot_history
from keras_vit.training.loop import Result
from keras_vit.training.recipes import Recipe
from keras_vit.training.tasks import best_of
from keras_vit.types import FilePath


def go_on(
    output_dir: FilePath,
    epochs: int,
    data: Any = None,
    strategy: str | Strategy = "auto",
    verbose: int = 1,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    teacher: keras.Model | str | None = None,
) -> Result:
    """Train a finished run for more epochs, in its own folder.

    It begins with the weights of the last epoch (averaged ones where the recipe
    averages); schedule and optimiser begin anew, and the order of the images goes on.
    History and best model are those of all epochs. When it was stopped, the same call
    goes on with it.

    Args:
        output_dir: folder of the run. epochs: so many more.
        data: as in `fit`, needed where the run did not have its data by name.
        strategy, verbose, callbacks, teacher: as in `fit`.

    Returns:
        `Result`; its history has all epochs.

    Raises:
        FileNotFoundError: when no run lies there.
        FileExistsError: for a run that is not finished.
        ValueError: for epochs that are not a number above 0, or a recipe with LoRA.
    """
    folder = run_folder.RunFolder(pathlib.Path(output_dir).expanduser().absolute())
    earlier = _earlier(folder, epochs)
    recipe, folder = _longer(folder, epochs, len(earlier.history["loss"]))
    strategy = strategies.choose(strategy)
    strategies.check(recipe, strategy)
    data = recipe.data if data is None else data
    keras.utils.set_random_seed(recipe.seed)  # of dropout
    model = weights.load(str(folder.last))
    check_given(model, recipe, data, strategy.num_replicas_in_sync)
    origin = f"file {folder.last}, {recipe.after} epochs; schedule and optimiser anew"
    call = loop.Call(
        recipe=recipe,
        model=model,
        data=data,
        folder=folder,
        strategy=strategy,
        origin=origin,
        teacher=teacher,
        earlier=earlier,
    )
    return loop.run(call, callbacks, verbose)


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What a finished run left.

    Args:
        history: name -> one number per epoch. best: path of its best model.
    """

    history: dict
    best: pathlib.Path

    def state(self, monitor):
        """`TrainState` behind the last epoch, without any weights.

        Args:
            monitor: name of the score that picks the best epoch.
        """
        scores = self.history[monitor]
        epochs, best = len(scores), best_of(monitor)(s for s in scores if s == s)
        last = max(k for k, score in enumerate(scores) if score == best)
        best = BestModel(last + 1, best)
        return TrainState(epoch=epochs, best=best, history=self.history)

    def with_best_weights(self, state, model):
        """That state with the weights of the best model, as `KeepModels` has them.

        Args:
            state: `TrainState`. model: `TrainStep`; it keeps its weights.
        """
        last = model.inner.get_weights()
        model.inner.set_weights(weights.load(str(self.best)).get_weights())
        best = dataclasses.replace(state.best, weights=tuple(model.get_weights()))
        model.inner.set_weights(last)
        return dataclasses.replace(state, best=best)


def _earlier(folder, epochs):
    """What lies in the folder of a run, or says that none does."""
    if type(epochs) is not int or epochs < 1:
        raise ValueError(
            f"epochs: must be a whole number above 0, got {epochs!r}. Pass epochs=10."
        )
    for path in (folder.recipe, folder.last, folder.best):
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder.path}: must be the folder of a finished run, got none with "
                f"{path.name}. Give the output_dir of an earlier training.fit."
            )
    return Earlier(plot_history.read_curves(folder.history), folder.best)


def _longer(folder, epochs, done):
    """The recipe of the run with more epochs, and its folder."""
    fields = json.loads(folder.recipe.read_text())["recipe"]
    known = {field.name for field in dataclasses.fields(Recipe)}
    recipe = Recipe(**{k: v for k, v in fields.items() if k in known})
    if folder.states.path.is_dir():
        if recipe.after and recipe.epochs == recipe.after + epochs:
            return recipe, dataclasses.replace(folder, resumes=True)
        raise FileExistsError(
            f"{folder.path}: must be finished before it gets more epochs, got one that "
            "was stopped. Make its own call again first."
        )
    if recipe.lora is not None:
        raise ValueError(
            f"{folder.path}: has adapters (lora={recipe.lora}), which are merged now. "
            "Start another run from its best model."
        )
    longer = recipe.override(epochs=done + epochs, precision=None)
    return dataclasses.replace(longer, after=done), folder
