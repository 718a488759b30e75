"""`fit`: from a recipe, a model and images to a trained model, on `model.fit`."""

import dataclasses
import os
import pathlib
import warnings

import keras
from keras.src.utils import io_utils

from keras_vit import weights
from keras_vit.training import tasks
from keras_vit.training.build_model import (
    check_given,
    check_model,
    finish,
    prepare_model,
)
from keras_vit.training.callback_list import Watch
from keras_vit.training.checkpoint import model_callbacks as watchers
from keras_vit.training.checkpoint import run_folder, train_state
from keras_vit.training.checkpoint.retry_write import tell
from keras_vit.training.checkpoint.worker_sync import check_same
from keras_vit.training.data import DataInfo
from keras_vit.training.data.bad_images import plain_errors
from keras_vit.training.engine import multi_worker
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.init_from import start
from keras_vit.training.input_pipeline import Feeds, open_feeds, settled
from keras_vit.training.methods import remat
from keras_vit.training.optim.compile import compile_model
from keras_vit.training.recipe_train_step import check_teacher, make_trainee, named
from keras_vit.training.recipes import Recipe, get_recipe


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


@dataclasses.dataclass(frozen=True)
class Call:
    """What `fit` or `go_on` was asked for, checked and with its model read.

    Args:
        recipe: `Recipe`. model: that was given or read, or None. data: as in `fit`.
        folder: `RunFolder`. strategy: chosen.
        origin: where the weights come from. teacher: as in `fit`.
        earlier: `going_on.Earlier` of a finished run that gets more epochs, or None.
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


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that is settled before the first step.

    Args:
        model: `TrainStep`, compiled. recipe, feeds, folder, keeper: of the run.
        arrays, facts: of the state to go on from, or {}.
    """

    model: keras.Model
    recipe: Recipe
    feeds: Feeds
    folder: run_folder.RunFolder
    keeper: watchers.KeepModels
    arrays: dict
    facts: dict


def fit(
    recipe="finetune",
    model=None,
    data=None,
    output_dir=None,
    epochs=None,
    strategy="auto",
    verbose=1,
    callbacks=(),
    overwrite=False,
    teacher=None,
    task=None,
    **overrides,
):
    """Train a model by a recipe.

    A run that was stopped, by Ctrl-C, SIGTERM, a crash or a power cut, goes on when
    the same call is made again, and ends with the same weights as if nothing had
    happened. That holds for named data, not for data that were loaded before.

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
        overwrite: whether an earlier run in output_dir may be replaced.
        teacher: `keras.Model` to learn from, or a name as in `Recipe`.
        task: `keras_vit.training.tasks.Task` or the name of one; None finds that of
            model and data, classification for most.
        **overrides: other fields of `Recipe`.

    Returns:
        `Result`; its model has the best weights, by the recipe's `monitor` on
        the validation split, and carries the class names and the preprocessing.

    Raises:
        ValueError, TypeError: for what does not exist or does not fit.
        DataError, FileNotFoundError: for data that cannot be used.
        FileExistsError: for an output_dir with an earlier run that is finished, or
            of another recipe.
        FloatingPointError, WorkerLost: for a loss that is no number; a lost worker.
        KeyboardInterrupt: passed on after Ctrl-C, with models and logs kept.
    """
    asked, task = recipe, tasks.find(task)
    recipe = settle(recipe, model, data, epochs, overrides, teacher, task)
    strategy = strategies.choose(strategy)
    strategies.check(recipe, strategy)
    recipe, given, origin = start(recipe, model, data, asked, task)
    folder = run_folder.claim(output_dir, recipe, overwrite)
    check_given(given, recipe, data, strategy.num_replicas_in_sync, task)
    call = Call(recipe, given, data, folder, strategy, origin, teacher, task=task)
    return run(call, callbacks, verbose)


def run(call, callbacks, verbose):
    """Train what is settled; `fit` and `go_on` end here.

    Args:
        call: `Call`. callbacks, verbose: as in `fit`.

    Returns:
        `Result`.
    """
    verbose = verbose if multi_worker.place(call.strategy)[0] == 0 else 0
    if verbose:
        tell(f"weights: {call.origin}")
    with strategies.on(call.strategy) as scratch, plain_errors():
        found = _begin(call, scratch, verbose)
        history = _train(found, callbacks, verbose)
    return _hand_over(found, call, history)


def _hand_over(run, call, history):
    """The result, with the model that the caller knows where there is one."""
    inner, given = run.model.inner, call.model
    trained = finish(inner, run.recipe)
    if given is not None and given is not inner:
        given.set_weights(trained.get_weights())
        trained = given
    best, path = run.keeper.best_epoch, call.folder.path
    return Result(trained, history, best, run.feeds.info, path, run.recipe, call.origin)


def _begin(call, scratch, verbose):
    """Open data, build and compile the model, go on from a state: a `Run`."""
    recipe, strategy, folder = call.recipe, call.strategy, call.folder
    place = multi_worker.place(strategy)
    arrays, facts = folder.state()
    adds = bool(recipe.after and not facts)  # to a finished run, from its beginning
    facts = call.earlier.facts(recipe.monitor) if adds else facts
    given = (call.data, recipe, call.model, verbose, facts, place, call.task)
    feeds = open_feeds(*given)
    if facts:
        folder.check_data(feeds.info)
    folder = folder if scratch is None else run_folder.RunFolder(scratch)
    steps = feeds.recipe.own_epochs * feeds.steps
    with strategy.scope():
        keras.utils.set_random_seed(recipe.seed)
        model = prepare_model(call.model, recipe, feeds.info, feeds.task)
        feeds.task.begin(model, steps)
        if verbose and not facts and feeds.task.introduction(model):
            tell(feeds.task.introduction(model))
        model = make_trainee(model, feeds, call.teacher, strategy)
        compile_model(model, feeds.recipe, feeds)
        keeper = watchers.KeepModels(folder, recipe.monitor)
        model.optimizer.build(model.trainable_variables)
        if adds:
            arrays = _best_of(call.earlier, model)
            keeper.resume(facts, arrays)
            if scratch is None:
                folder.add_epochs(recipe, model, keeper, facts, feeds)
        else:
            _go_on(model, keeper, arrays, facts)
    check_same(strategy, [facts.get("epochs", 0), facts.get("step", 0)])
    if not facts or scratch is not None:
        folder.create(recipe, feeds.info, model, resumable=feeds.resumable)
    elif verbose:
        place = (
            f"epoch {facts['epochs']} of {feeds.recipe.epochs}, step {facts['step']}"
        )
        io_utils.print_msg(f"Going on after {place} of {feeds.steps}.")
    return Run(model, feeds.recipe, feeds, folder, keeper, arrays, facts)


def _best_of(earlier, model):
    """The best weights of a finished run, as `KeepModels` has them in a state."""
    last = model.inner.get_weights()
    model.inner.set_weights(weights.load(str(earlier.best)).get_weights())
    best = {f"best {k:05d}": array for k, array in enumerate(model.get_weights())}
    model.inner.set_weights(last)
    return best


def settle(recipe, model, data, epochs, overrides, teacher=None, task=None):
    """The recipe with everything that the caller changed."""
    check_teacher(teacher)
    changes = overrides | named(teacher)
    if epochs is not None:
        changes["epochs"] = epochs
    check_model(model, overrides)
    if isinstance(model, dict):
        changes["model"] = model
    elif isinstance(model, str | os.PathLike):
        changes["model"] = os.fspath(model)
    if isinstance(data, str):
        changes["data"] = data
    elif data is not None:
        changes |= settled(data, task)
    recipe = get_recipe(recipe, **changes)
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
    return recipe


def _go_on(model, keeper, arrays, facts):
    """Put a state into the model and the keeper; the scores of the epoch remain."""
    if not facts:
        return
    keeper.resume(facts, arrays)
    scores = {n: arrays.pop(n) for n in list(arrays) if n.startswith("score ")}
    train_state.restore(model, arrays)
    arrays.clear()
    arrays.update(scores)


def _train(run, callbacks, verbose):
    """Train from where the run stands; the numbers of all its epochs."""
    watch = Watch(run, verbose)
    strategy = run.model.distribute_strategy
    train, validation = strategies.spread(run.feeds, strategy)
    with watch.to_the_end(), remat.undone(run.model.inner), warnings.catch_warnings():
        # Training has no end; with bad images left out, nobody knows how long the
        # validation is, and Keras warns when it is over.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        run.model.fit(
            train,
            validation_data=validation,
            epochs=run.recipe.epochs,
            initial_epoch=watch.epoch,
            steps_per_epoch=run.feeds.steps,
            callbacks=watch.callbacks(callbacks),
            shuffle=False,
            verbose=0,
        )
    return watch.history.numbers
