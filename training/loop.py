"""`fit`: from a recipe, a model and images to a trained model, on `model.fit`."""

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

import keras

from keras_vit.progress import tell
from keras_vit.training import tasks
from keras_vit.training.build_model import (
    check_given,
    check_model,
    finish,
    prepare_model,
)
from keras_vit.training.callback_list import RunCallbacks
from keras_vit.training.checkpoint import run_folder, train_state
from keras_vit.training.data import DataInfo
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.engine.strategy import Strategy
from keras_vit.training.init_from import initial_model
from keras_vit.training.input_pipeline import Feeds, open_feeds, read_data
from keras_vit.training.optim.compile import compile_model
from keras_vit.training.recipe_train_step import check_teacher, make_trainee, named
from keras_vit.training.recipes import Recipe, get_recipe
from keras_vit.types import Config, FilePath


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a training run leaves behind.

    Args:
        model: with the weights of the best epoch.
        history: name -> one number per epoch.
        best_epoch: counted from 1.
        info: `DataInfo` of the data.
        output_dir: `pathlib.Path` of the run.
        recipe: `Recipe` with all overrides.
        weights: where the first ones came from: published, a file, or RANDOM.
    """

    model: keras.Model
    history: dict
    best_epoch: int
    info: DataInfo
    output_dir: pathlib.Path
    recipe: Recipe
    weights: str

    def __repr__(self):
        """One line: the best epoch, what it was chosen by, and where all is."""
        monitor = self.recipe.monitor
        score = self.history[monitor][self.best_epoch - 1]
        epoch = f"best epoch {self.best_epoch} of {len(self.history[monitor])}"
        found = f"{self.model.name}, {epoch}, {monitor} {score:.4g}"
        return f"<Result: {found}, in {self.output_dir}>"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """What `fit` or `go_on` was asked for, checked and with its model read.

    Args:
        recipe: `Recipe`. model: that was given or read, or None. data: as in `fit`.
        folder: `RunFolder`. strategy: chosen.
        origin: where the weights come from. teacher: as in `fit`.
        earlier: `more_epochs.Earlier` of a finished run that gets more epochs, or None.
        task: `Task` that was asked for, or None.
    """

    recipe: Recipe
    model: keras.Model | None
    data: object
    folder: run_folder.RunFolder
    strategy: object
    origin: str
    teacher: object = None
    earlier: object = None
    task: tasks.Task | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that is settled before the first step.

    Args:
        model: `TrainStep`, compiled, as it was in the state.
        recipe: as the data settled it. feeds: `Feeds`. folder: `RunFolder`.
        state: `TrainState` that the run goes on from, without its variables.
    """

    model: keras.Model
    recipe: Recipe
    feeds: Feeds
    folder: run_folder.RunFolder
    state: train_state.TrainState


def fit(
    recipe: str | Recipe = "finetune",
    model: keras.Model | FilePath | Config | None = None,
    data: Any = None,
    output_dir: FilePath | None = None,
    epochs: int | None = None,
    strategy: str | Strategy = "auto",
    verbose: int = 1,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    overwrite: bool = False,
    teacher: keras.Model | str | None = None,
    task: Any = None,
    **overrides: Any,
) -> Result:
    """Train a model by a recipe.

    A run that was stopped (Ctrl-C, SIGTERM, crash, power cut) goes on when the same
    call is made again, and ends with the same weights, if its data were named.

    Args:
        recipe: a name of `list_recipes`, or a `Recipe`.
        model: `keras.Model` to go on with, a .keras file or a checkpoint (built for
            the recipe's image_size, with a new head where it has none for the data),
            a name or dict to build from (see `Recipe`), or None for the recipe's own.
        data: source for `load_data`, what it returned, or None for the recipe's own.
        output_dir: folder for models and logs; None is `runs/RECIPE-DATE-TIME`.
        epochs: passes over the data; None is the recipe's.
        strategy: name, or what `choose_strategy` made of one. Several workers make
            the same call, with an output_dir that all can read.
        verbose: 0 silent, 1 a line that is renewed, 2 a line per epoch.
        callbacks: more Keras callbacks; those with `adds_scores` before the logs.
        overwrite: whether an earlier run may be replaced.
        teacher: `keras.Model` to learn from, or a name as in `Recipe`.
        task: `training.tasks.Task` or its name; None finds that of model and data.
        **overrides: other fields of `Recipe`.

    Returns:
        `Result`; its model has the best weights, by the recipe's `monitor` on
        the validation split, and carries the class names and the preprocessing.

    Raises:
        ValueError, TypeError: for what does not exist or does not fit.
        DataError, FileNotFoundError: for data that cannot be used.
        FileExistsError: for an output_dir with a finished run, or of another recipe.
        FloatingPointError, WorkerLost: for a loss that is NaN; a lost worker.
        KeyboardInterrupt: after Ctrl-C, with models and logs kept.
    """
    asked, task = recipe, tasks.find(task)
    arguments = recipe, model, data, epochs, overrides, teacher, task
    recipe, data = apply_arguments(*arguments)
    strategy = strategies.choose(strategy)
    strategies.check(recipe, strategy)
    recipe, given, origin = initial_model(recipe, model, data, asked, task)
    folder = run_folder.claim(output_dir, recipe, overwrite)
    check_given(given, recipe, data, strategy.num_replicas_in_sync, task)
    call = Call(
        recipe=recipe, model=given, data=data, teacher=teacher, task=task,
        folder=folder, strategy=strategy, origin=origin,
    )  # fmt: skip
    return run(call, callbacks, verbose)


def apply_arguments(recipe, model, data, epochs, overrides, teacher=None, task=None):
    """The recipe with everything that the caller of `fit` changed.

    Returns:
        `Recipe`; the data, their own or the recipe's, as `read_data` reads them.
    """
    check_teacher(teacher)
    changes = overrides | named(teacher)
    if epochs is not None:
        changes["epochs"] = epochs
    check_model(model, overrides)
    if isinstance(model, dict):
        changes["model"] = model
    elif isinstance(model, str | os.PathLike):
        changes["model"] = os.fspath(model)
    data, fields = read_data(data, task)
    recipe = get_recipe(recipe, **changes | fields)
    if model is None and recipe.model is None:
        raise ValueError(
            f"model: recipe {recipe.name!r} starts from a model, got model=None. Pass "
            "model='vit.safetensors', a name of keras_vit.list_checkpoints() or a "
            "Keras model."
        )
    if recipe.distillation is not None and recipe.teacher is None:
        raise ValueError(
            f"teacher: recipe {recipe.name!r} learns from a teacher, got teacher=None. "
            "Pass teacher='teacher.keras', or a Keras model."
        )
    check_teacher(recipe.teacher if teacher is None else teacher)
    if data is None and recipe.data is None:
        raise ValueError(
            f"data: recipe {recipe.name!r} has no data of its own, got data=None. "
            "Pass data='folder:PATH', for example."
        )
    return recipe, read_data(recipe.data, task)[0] if data is None else data


def run(call, callbacks, verbose):
    """Train what is settled; `fit` and `go_on` end here.

    Args:
        call: `Call`. callbacks, verbose: as in `fit`.

    Returns:
        `Result`.
    """
    with strategies.on(call.strategy) as worker:
        verbose = verbose if worker.number == 0 else 0
        if verbose:
            tell(f"weights: {call.origin}")
        watched = RunCallbacks(_set_up(call, worker, verbose), verbose)
        _train(watched, callbacks)
    return _result(watched, call)


def _set_up(call, worker, verbose):
    """Open data, build and compile the model, put its state back: a `Run`."""
    recipe, folder, state = call.recipe, call.folder, call.folder.state()
    adds = bool(recipe.after and not state.begun)  # to a finished run, at its end
    state = call.earlier.state(recipe.monitor) if adds else state
    place = worker.number, worker.count
    given = (call.data, recipe, call.model, verbose, state, place)
    feeds = open_feeds(*given, call.task)
    if state.begun:
        folder.check_data(feeds.info)
    if worker.scratch is not None:
        folder = run_folder.RunFolder(worker.scratch)
    with call.strategy.scope():
        model = _compiled(call, feeds, verbose and not state.begun)
        if adds:
            state = call.earlier.with_best_weights(state, model)
    if adds and worker.scratch is None:
        folder.add_epochs(recipe, model, state, feeds)
    state = train_state.resume(model, state)
    if not state.begun or worker.scratch is not None:
        folder.create(recipe, feeds.info, model, resumable=feeds.resumable)
    elif verbose:
        place = f"epoch {state.epoch} of {feeds.recipe.epochs}, step {state.step}"
        tell(f"Going on after {place} of {feeds.steps}.")
    return Run(
        model=model, recipe=feeds.recipe, feeds=feeds, folder=folder, state=state
    )


def _compiled(call, feeds, verbose):
    """The `TrainStep` of the run with its first weights, loss and optimiser."""
    keras.utils.set_random_seed(call.recipe.seed)
    model = prepare_model(call.model, call.recipe, feeds.info, feeds.task)
    feeds.task.begin(model, feeds.recipe.own_epochs * feeds.steps)
    introduction = feeds.task.introduction(model)
    if verbose and introduction:
        tell(introduction)
    model = make_trainee(model, feeds, call.teacher, call.strategy)
    compile_model(model, feeds.recipe, feeds)
    model.optimizer.build(model.trainable_variables)
    return model


def _train(watched, callbacks):
    """Train from where the run stands."""
    run = watched.run
    strategy = run.model.distribute_strategy
    train, validation = strategies.spread(run.feeds, strategy)
    with watched.to_the_end(), warnings.catch_warnings():
        # Training has no end; with bad images left out, nobody knows how long the
        # validation is, and Keras warns when it is over.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        run.model.fit(
            train,
            validation_data=validation,
            epochs=run.recipe.epochs,
            initial_epoch=run.state.epoch,
            steps_per_epoch=run.feeds.steps,
            callbacks=watched.callbacks(callbacks),
            shuffle=False,
            verbose=0,
        )


def _result(watched, call):
    """The result, with the model that the caller knows where there is one."""
    run = watched.run
    inner, given = run.model.inner, call.model
    trained = finish(inner, run.recipe)
    if given is not None and given is not inner:
        given.set_weights(trained.get_weights())
        trained = given
    return Result(
        model=trained,
        history=watched.history.numbers,
        best_epoch=watched.keeper.best.epoch,
        info=run.feeds.info,
        output_dir=call.folder.path,
        recipe=run.recipe,
        weights=call.origin,
    )
