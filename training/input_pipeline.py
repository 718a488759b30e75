"""Where the batches of a run come from."""

import dataclasses
import functools

import tensorflow as tf

from keras_vit.models.input_range import assumed, stated
from keras_vit.preprocess import Preprocessing
from keras_vit.training import tasks
from keras_vit.training.checkpoint.retry_write import tell
from keras_vit.training.data import DataInfo, array_source
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.pipeline import open_data, sides
from keras_vit.training.optim.run_length import length
from keras_vit.training.recipes import Recipe, for_data, for_side


@dataclasses.dataclass(frozen=True)
class Feeds:
    """Data of a run, as `model.fit` takes them.

    Args:
        train: batches, without end or repeated; images may be bytes, see `Feed`.
        validation: batches.
        steps: batches per epoch. info: `DataInfo`.
        resumable: whether batches are a function of the step.
        recipe: with the number of epochs, and what follows from the data.
        names: function of a step, which lists the images of its batch, or None.
        task: `Task` of the run.
    """

    train: object
    validation: object
    steps: int
    info: DataInfo
    resumable: bool
    recipe: Recipe
    names: object = None
    task: tasks.Task = tasks.CLASSIFICATION

    @property
    def element_spec(self):
        """Of a training batch, as the model sees it."""
        images, *rest = self.train.element_spec
        return tf.TensorSpec(images.shape, tf.float32), *rest


def open_feeds(data, recipe, model, verbose, state, workers=(0, 1), task=None):
    """Data of the run; a source is opened, loaded data are taken as they are.

    Args:
        state: facts of the state that the run goes on from, or {}.
        workers: number of this worker, and of all.
        task: `Task`; None for that of model and data.
    """
    task = tasks.choose(task, recipe, model, data)
    if is_loaded(data):
        return _loaded_feeds(data, recipe, task)
    note = _preprocessing(model, recipe, verbose and not state)
    if verbose and not state:
        _tell_size(note, recipe)
    recipe = for_side(recipe, recipe.image_size if note is None else note.image_size)
    source, feed, info = open_data(
        recipe.data if data is None else data,
        image_size=recipe.image_size if note is None else None,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        seed=recipe.seed,
        preprocessing=note,
        on_bad_image=recipe.on_bad_image,
        verbose=verbose,
        splits=("train", "validation"),
        mix=Mix(recipe.mixup, recipe.cutmix, recipe.mix_rule),
        workers=workers,
        repeats=recipe.repeats,
        cache=recipe.cache,
        task=task,
    )
    train = source.split("train")
    recipe = for_data(recipe, train.size)
    feed = dataclasses.replace(feed, in_bytes=True)
    if recipe.data_rule is not None:
        mix = Mix(recipe.mixup, recipe.cutmix, recipe.mix_rule)
        feed = dataclasses.replace(feed, mix=mix)
    validation = feed.in_order(source.split("validation"))
    recipe, steps = _settle_length(recipe, feed.batches(train))
    if verbose and not state:
        _tell_left(train.size, recipe.batch_size)
    first = state.get("epochs", 0) * steps + state.get("step", 0)
    stream, names = feed.stream(train, first), functools.partial(feed.names, train)
    return Feeds(stream, validation, steps, info, source.fixed, recipe, names, task)


def _tell_size(note, recipe):
    """Say when a given model has another size than its recipe."""
    wanted = None if recipe.image_size is None else sides(recipe.image_size)
    if note is not None and wanted not in (None, note.image_size):
        tell(
            "images: {}x{} px, the size of the model that was given, rather than "
            "{}x{} px of the recipe.".format(*note.image_size, *wanted)
        )


def _tell_left(images, batch_size):
    """Say what does not fill a batch; the numbers of the stream go on with it."""
    left = images % batch_size
    if left:
        tell(
            f"{left} of {images} training images do not fill a batch of {batch_size}: "
            "the next epoch begins with them."
        )


def _settle_length(recipe, per_epoch):
    """The recipe with its number of epochs, and the steps of each."""
    epochs, steps = length(recipe, per_epoch)
    return dataclasses.replace(recipe, epochs=epochs), steps


def _preprocessing(model, recipe, aloud):
    """How images must be prepared, or None to let recipe and data decide."""
    if model is None:
        if recipe.preprocessing is None or recipe.image_size is None:
            return None
        size = sides(recipe.image_size)
        return Preprocessing(**{**recipe.preprocessing, "image_size": size})
    size = tuple(model.input_shape[1:3])
    if None in size:
        size = recipe.image_size
    if size is None:
        return stated(model)[0]
    note, said = assumed(model, sides(size))
    if said and aloud:
        tell(f"pixels: {said}.")
    return note.resized(sides(size))


def _loaded_feeds(data, recipe, task):
    """Take what `load_data` returned; it is fed as it was loaded."""
    train, validation, info = data
    recipe = for_data(recipe, info.counts["train"])
    recipe, steps = _settle_length(recipe, int(train.cardinality()))
    return Feeds(train.repeat(), validation, steps, info, False, recipe, None, task)


def is_loaded(data):
    """Whether these are the three things that `load_data` returned."""
    return isinstance(data, tuple) and len(data) == 3 and isinstance(data[2], DataInfo)


def settled(data, task=None):
    """Fields of a recipe that data other than a name decide."""
    if is_loaded(data):
        return {"batch_size": data[0].element_spec[0].shape[0]}
    if array_source.is_own(data):
        return {"data": array_source.read_own(data, task)[2]}
    raise TypeError(
        "data: must be a source like 'folder:PATH', arrays (images, labels), a dict of "
        "these, or the three things that load_data returns, got "
        f"{type(data).__name__}. Pass data=(images, labels), for example."
    )
