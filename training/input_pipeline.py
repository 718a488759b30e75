"""The input pipeline of a run: its batches, and the recipe as the data settle it."""

import dataclasses
import functools
import math

import tensorflow as tf

from keras_vit.models.input_range import assumed, stated
from keras_vit.preprocess import Preprocessing
from keras_vit.progress import tell
from keras_vit.training import tasks
from keras_vit.training.data import DataInfo
from keras_vit.training.data.array_source import ArrayData
from keras_vit.training.data.bad_images import plain_errors
from keras_vit.training.data.batching import steps_per_epoch
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.pipeline import make_feed, sides
from keras_vit.training.data.sources import Folder, open_source, read_once
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


@plain_errors()
def open_feeds(data, recipe, model, verbose, state, workers=(0, 1), task=None):
    """Data of the run; a source is opened, loaded data are taken as they are.

    Args:
        data, recipe, model: as given to `fit`, with their names looked up.
        verbose: 0 silent. state: `TrainState` that the run goes on from.
        workers: number of this worker, and of all.
        task: `Task`; None for that of model and data.

    Returns:
        `Feeds`, with the recipe as the data settle it.
    """
    task = tasks.choose(task, recipe, model, data)
    if is_loaded(data):
        train, validation, info = data
        size, steps = info.counts["train"], int(train.cardinality())
        recipe, steps = settle(recipe, None, size, steps)
        return Feeds(train.repeat(), validation, steps, info, False, recipe, None, task)
    verbose_once = verbose and not state.begun
    note = _preprocessing(model, recipe, verbose_once)
    if verbose_once:
        _tell_size(note, recipe)
    name, splits = recipe.data if data is None else data, ("train", "validation")
    options = (recipe.on_bad_image, verbose, recipe.cache, task)
    source = open_source(name, splits, *options)
    train = source.split("train")
    size = recipe.image_size if note is None else note.image_size
    batches = steps_per_epoch(train.size, recipe.batch_size)
    recipe, steps = settle(recipe, size, train.size, batches)
    feed, info = _feed(source, recipe, note, workers, task)
    validation = feed.in_order(source.split("validation"))
    if verbose_once:
        _tell_left(train.size, recipe.batch_size)
    stream = feed.stream(train, state.epoch * steps + state.step)
    names = functools.partial(feed.names, train)
    return Feeds(stream, validation, steps, info, source.fixed, recipe, names, task)


def settle(recipe, image_size, images, batches):
    """The recipe with all that follows from the data; nothing else rewrites it.

    Args:
        recipe: `Recipe`. image_size: of the run, side in px or (H, W), or None where
            it does not change the augmentation.
        images: of the training split. batches: of one pass over them.

    Returns:
        `Recipe` with its number of epochs, and steps per epoch.
    """
    recipe = for_data(for_side(recipe, image_size), images)
    epochs, steps = length(recipe, batches)
    return dataclasses.replace(recipe, epochs=epochs), steps


def length(recipe, per_epoch):
    """Epochs and steps per epoch of a run.

    A recipe that counts updates is cut into stretches of equal length, as near to a
    pass over the data as the number of updates can be divided.

    Args:
        recipe: `Recipe`. per_epoch: batches of one pass over the training images.

    Returns:
        (epochs, steps per epoch).

    >>> from keras_vit.training.recipes import Recipe
    >>> length(Recipe(name="x", epochs=3), 97)
    (3, 97)
    >>> length(Recipe(name="x", steps=10_000), 97)
    (100, 100)
    """
    if recipe.steps is None:
        return recipe.epochs, per_epoch
    total = recipe.steps
    divisors = [n for n in range(1, math.isqrt(total) + 1) if total % n == 0]
    divisors += [total // n for n in divisors]
    steps = min(divisors, key=lambda n: abs(math.log(n / per_epoch)))
    return total // steps, steps


def _feed(source, recipe, note, workers, task):
    """`Feed` and `DataInfo` of a source by a settled recipe; images stay bytes."""
    feed, info = make_feed(
        source,
        image_size=recipe.image_size if note is None else None,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        seed=recipe.seed,
        preprocessing=note,
        on_bad_image=recipe.on_bad_image,
        mix=Mix(recipe.mixup, recipe.cutmix, recipe.mix_rule),
        workers=workers,
        repeats=recipe.repeats,
        task=task,
    )
    return dataclasses.replace(feed, in_bytes=True), info


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


def is_loaded(data):
    """Whether these are the three things that `load_data` returned."""
    return isinstance(data, tuple) and len(data) == 3 and isinstance(data[2], DataInfo)


def read_data(data, task=None):
    """Read the data that `fit` was given once, for every later step.

    Args:
        data: as in `fit`. task: `Task`, or None.

    Returns:
        The data as `open_feeds` takes them, and {field: value} of what they decide in
        a recipe.

    Raises:
        TypeError: for data of another kind.
    """
    data = read_once(data, task)
    if data is None:
        return None, {}
    if is_loaded(data):
        return data, {"batch_size": data[0].element_spec[0].shape[0]}
    if isinstance(data, str):
        return data, {"data": data}
    if isinstance(data, ArrayData | Folder):
        return data, {"data": data.name}
    raise TypeError(
        "data: must be a source like 'folder:PATH', arrays (images, labels), a dict of "
        "these, or the three things that load_data returns, got "
        f"{type(data).__name__}. Pass data=(images, labels), for example."
    )
