"""`fit`: from a recipe, a model and images to a trained model, on `model.fit`."""

import dataclasses
import pathlib

import keras
from keras.src.utils import io_utils

from keras_vit.models import VisionTransformer, create
from keras_vit.preprocess import Preprocessing
from keras_vit.training import callbacks as watchers
from keras_vit.training import optimizers, runs, states
from keras_vit.training import strategy as strategies
from keras_vit.training.data import DataInfo
from keras_vit.training.data.pipeline import open_data, sides
from keras_vit.training.losses import SoftmaxCrossentropy
from keras_vit.training.recipes import Recipe, get_recipe
from keras_vit.training.schedules import WarmupCosine


@dataclasses.dataclass(frozen=True)
class Result:
    """What a training run leaves behind.

    Args:
        model: with the weights of the best epoch.
        history: name -> one number per epoch.
        best_epoch: counted from 1.
        info: `DataInfo` of the data.
        output_dir: `pathlib.Path` of the run.
        recipe: `Recipe` with all overrides.
    """

    model: keras.Model
    history: dict
    best_epoch: int
    info: DataInfo
    output_dir: pathlib.Path
    recipe: Recipe


@dataclasses.dataclass(frozen=True)
class Feeds:
    """Data of a run, as `model.fit` takes them.

    Args:
        train: batches, without end or repeated. validation: batches.
        steps: batches per epoch. info: `DataInfo`.
        resumable: whether batches are a function of the step.
    """

    train: object
    validation: object
    steps: int
    info: DataInfo
    resumable: bool


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that is settled before the first step.

    Args:
        model: compiled. recipe, feeds, folder, keeper: of the run.
        epoch: finished epochs. history: their numbers.
    """

    model: keras.Model
    recipe: Recipe
    feeds: Feeds
    folder: runs.RunFolder
    keeper: watchers.KeepModels
    epoch: int
    history: dict


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
    **overrides,
):
    """Train a model by a recipe.

    A run that was stopped, by Ctrl-C, SIGTERM, a crash or a power cut, goes on when
    the same call is made again, and ends with the same weights as if nothing had
    happened. That holds for data that are named, not for data that were loaded
    before.

    Args:
        recipe: a name of `list_recipes`, or a `Recipe`.
        model: `keras.Model` to go on with, a name or dict to build from (see
            `Recipe`), or None for the recipe's own.
        data: source for `load_data`, the three things `load_data` returned, or
            None for the recipe's own.
        output_dir: folder for models and logs (see
            `keras_vit.training.runs`); None is `runs/RECIPE-DATE-TIME`.
        epochs: passes over the data; None is the recipe's.
        strategy: "auto", "one" or "mirrored".
        verbose: 0 silent, 1 progress bar, 2 a line per epoch.
        callbacks: more Keras callbacks.
        overwrite: whether an earlier run in output_dir may be replaced.
        **overrides: other fields of `Recipe`.

    Returns:
        `Result`; its model has the best weights, by the recipe's `monitor` on
        the validation split, and carries the class names and the preprocessing.

    Raises:
        ValueError, TypeError: for what does not exist or does not fit.
        DataError, FileNotFoundError: for data that cannot be used.
        FileExistsError: for an output_dir with an earlier run that is finished, or
            of another recipe.
        KeyboardInterrupt: passed on after Ctrl-C, with models and logs kept.
    """
    recipe = _settle(recipe, model, data, epochs, overrides)
    strategy = strategies.choose(strategy)
    strategies.check(recipe, strategy)
    folder = runs.claim(output_dir, recipe, overwrite)
    given = model if isinstance(model, keras.Model) else None
    _check_model(given, recipe)
    run = _begin(recipe, given, data, folder, strategy, verbose)
    history = _train(run, callbacks, verbose)
    trained = run.model
    if given is not None and given is not trained:
        given.set_weights(trained.get_weights())
        trained = given
    best = run.keeper.best_epoch
    return Result(trained, history, best, run.feeds.info, folder.path, recipe)


def _begin(recipe, given, data, folder, strategy, verbose):
    """Open data, build and compile the model, go on from a state: a `Run`."""
    state = folder.states.newest() if folder.resumes else None
    epoch = 0 if state is None else state[1]["epochs"]
    feeds = _open_feeds(data, recipe, given, verbose, epoch)
    with strategy.scope():
        keras.utils.set_random_seed(recipe.seed)
        model = _prepare_model(given, recipe, feeds.info, strategy)
        _compile(model, recipe, feeds, strategy)
        keeper = watchers.KeepModels(folder, recipe.monitor)
        past = _go_on(model, folder, keeper, state)
    if state is None:
        folder.create(recipe, feeds.info, model, resumable=feeds.resumable)
    elif verbose:
        io_utils.print_msg(f"Going on after epoch {epoch} of {recipe.epochs}.")
    return Run(model, recipe, feeds, folder, keeper, epoch, past)


def _settle(recipe, model, data, epochs, overrides):
    """The recipe with everything that the caller changed."""
    changes = dict(overrides)
    if epochs is not None:
        changes["epochs"] = epochs
    if isinstance(model, str | dict):
        changes["model"] = model
    if isinstance(data, str):
        changes["data"] = data
    elif data is not None:
        changes["batch_size"] = _batch_size(data)
    recipe = get_recipe(recipe, **changes)
    if model is None and recipe.model is None:
        raise ValueError(
            f"model: recipe {recipe.name!r} starts from a model, got model=None. Pass "
            "model=keras_vit.ViT_Ti16(classes=...), or a name like 'ViT-Ti/16' for "
            "random weights."
        )
    if data is None and recipe.data is None:
        raise ValueError(
            f"data: recipe {recipe.name!r} has no data of its own, got data=None. "
            "Pass data='folder:PATH', for example."
        )
    return recipe


def _check_model(model, recipe):
    """A model that is given decides its own size and precision."""
    if model is None:
        return
    shapes = [tuple(model.input_shape), tuple(model.output_shape)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 2:
        raise ValueError(
            "model: must map images (B, H, W, C) to scores (B, K), got "
            f"{shapes[0]} to {shapes[1]}. Give it a head for classes."
        )
    if recipe.precision is not None:
        raise ValueError(
            "precision: is fixed when a model is built, got precision="
            f"{recipe.precision!r} for {model.name!r}. Build it with dtype="
            f"{recipe.precision!r}."
        )


def _preprocessing(model, recipe):
    """How images must be prepared, or None to let recipe and data decide."""
    if model is None:
        return None
    note = getattr(model, "preprocessing", None)
    size = tuple(model.input_shape[1:3])
    if None in size:
        size = recipe.image_size
    if size is None:
        return note
    size = sides(size)
    return Preprocessing(image_size=size) if note is None else note.resized(size)


def _open_feeds(data, recipe, model, verbose, epoch):
    """Data of the run; a source is opened, loaded data are taken as they are."""
    if data is not None and not isinstance(data, str):
        return _loaded_feeds(data)
    note = _preprocessing(model, recipe)
    source, feed, info = open_data(
        recipe.data,
        image_size=recipe.image_size if note is None else None,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        seed=recipe.seed,
        preprocessing=note,
        on_bad_image=recipe.on_bad_image,
        verbose=verbose,
        splits=("train", "validation"),
    )
    train = source.split("train")
    validation = feed.in_order(source.split("validation"))
    steps = feed.batches(train)
    return Feeds(feed.stream(train, epoch * steps), validation, steps, info, True)


def _batch_size(data):
    """Images per step of what `load_data` returned."""
    if not (
        isinstance(data, tuple) and len(data) == 3 and isinstance(data[2], DataInfo)
    ):
        raise TypeError(
            "data: must be a source like 'folder:PATH', or the three things that "
            f"load_data returns, got {type(data).__name__}. Pass data=load_data(...)."
        )
    return data[0].element_spec[0].shape[0]


def _loaded_feeds(data):
    """Take what `load_data` returned; it is fed as it was loaded."""
    train, validation, info = data
    return Feeds(train.repeat(), validation, int(train.cardinality()), info, False)


def _prepare_model(given, recipe, info, strategy):
    """The model to train, on its devices, with its two notes."""
    if given is None:
        model = _build(recipe, info)
    elif strategy.num_replicas_in_sync == 1:
        model = given
    else:
        model = type(given).from_config(given.get_config())
        model.set_weights(given.get_weights())
    _check_fit(model, info)
    for noted in (model, given):
        if noted is not None:
            noted.labels = list(info.class_names)
            noted.preprocessing = info.preprocessing
    return model


def _build(recipe, info):
    """The recipe's model for these data."""
    shape = (*info.image_size, info.channels)
    if isinstance(recipe.model, str):
        return create(
            recipe.model,
            input_shape=shape,
            classes=info.classes,
            dtype=recipe.precision,
        )
    return VisionTransformer(
        **{
            "image_size": info.image_size,
            "channels": info.channels,
            "classes": info.classes,
            "dtype": recipe.precision,
            **recipe.model,
        }
    )


def _check_fit(model, info):
    """Make sure that model and data speak of the same images and classes."""
    classes = model.output_shape[-1]
    if classes != info.classes:
        raise ValueError(
            f"model: must have {info.classes} outputs, one per class of {info.source}, "
            f"got {classes}. Build it with classes={info.classes}."
        )
    shape, images = model.input_shape[1:], (*info.image_size, info.channels)
    for side, expected in zip(shape, images, strict=True):
        if side not in (None, expected):
            raise ValueError(
                f"model: takes images of shape {shape}, got {images} from "
                f"{info.source}. Load the data with image_size={shape[:2]}."
            )


def _compile(model, recipe, feeds, strategy):
    """Optimiser, loss and scores."""
    steps = recipe.epochs * feeds.steps
    warmup = min(round(recipe.warmup * steps), steps - 1)
    schedule = WarmupCosine(recipe.learning_rate, steps, warmup)
    replicas = strategy.num_replicas_in_sync
    together = recipe.steps_per_execution if replicas == 1 else 1
    optimizer = optimizers.make_adamw(recipe, schedule, model, replicas)
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="top1")]
    if feeds.info.classes > 5:
        metrics.append(keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5"))
    activation = getattr(model.layers[-1], "activation", None)
    from_logits = activation is not keras.activations.softmax
    model.compile(
        optimizer,
        SoftmaxCrossentropy(recipe.label_smoothing, from_logits=from_logits),
        metrics=metrics,
        steps_per_execution=_divisor(feeds.steps, together),
    )


def _divisor(steps, most):
    """Largest divisor up to `most`: Keras would run past the end of an epoch.

    >>> _divisor(39, 19)
    13
    """
    return max(d for d in range(1, most + 1) if steps % d == 0)


def _go_on(model, folder, keeper, state):
    """Put a state into the model and the keeper: the numbers of its epochs."""
    model.optimizer.build(model.trainable_variables)
    if state is None:
        return {}
    arrays, facts = state
    keeper.resume(facts, arrays)
    states.restore(model, arrays)
    folder.cut_history(facts["epochs"])
    return facts["history"]


def _train(run, callbacks, verbose):
    """Train; whatever happens, logs are closed and the best model is on disk."""
    logs = watchers.loggers(run.folder, append=run.epoch > 0)
    keep = [watchers.RefuseNaN(), run.keeper]
    guard = None
    if run.feeds.resumable:
        guard = states.KeepState(run.folder.states, run.keeper, run.history)
        keep.append(guard)
    try:
        history = run.model.fit(
            run.feeds.train,
            validation_data=run.feeds.validation,
            epochs=run.recipe.epochs,
            initial_epoch=run.epoch,
            steps_per_epoch=run.feeds.steps,
            callbacks=[watchers.ShowAverage(), *logs, *keep, *callbacks],
            shuffle=False,
            verbose=verbose,
        ).history
    except BaseException:
        for log in logs:
            log.on_train_end()
        if guard is not None:
            guard.end()
        raise
    finally:
        run.keeper.write()
        run.keeper.restore_best()
        if verbose:
            io_utils.print_msg(_farewell(run))
    if guard is not None:
        guard.close()
    return {
        name: [*run.history.get(name, ()), *map(float, values)]
        for name, values in history.items()
    }


def _farewell(run):
    """One line on where everything is, and how to go on."""
    keeper, folder = run.keeper, run.folder
    stopped = keeper.epochs < run.recipe.epochs and run.feeds.resumable
    again = ". The same call goes on from there." if stopped else ""
    if keeper.best_epoch is None:
        return f"Stopped in the first epoch, no best model yet: {folder.last}{again}"
    return (
        f"{keeper.epochs} of {run.recipe.epochs} epochs. Best {keeper.monitor} "
        f"{keeper.best_score:.4f}, epoch {keeper.best_epoch}: {folder.best}{again}"
    )
