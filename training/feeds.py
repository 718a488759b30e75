"""Where the batches of a run come from."""

import dataclasses
import functools

from keras_vit.preprocess import Preprocessing
from keras_vit.training.data import DataInfo
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.pipeline import open_data, sides


@dataclasses.dataclass(frozen=True)
class Feeds:
    """Data of a run, as `model.fit` takes them.

    Args:
        train: batches, without end or repeated. validation: batches.
        steps: batches per epoch. info: `DataInfo`.
        resumable: whether batches are a function of the step.
        names: function of a step, which lists the images of its batch, or None.
    """

    train: object
    validation: object
    steps: int
    info: DataInfo
    resumable: bool
    names: object = None


def open_feeds(data, recipe, model, verbose, state, workers=(0, 1)):
    """Data of the run; a source is opened, loaded data are taken as they are.

    Args:
        state: facts of the state that the run goes on from, or {}.
        workers: number of this worker, and of all.
    """
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
        mix=Mix(recipe.mixup, recipe.cutmix, recipe.mix_rule),
        workers=workers,
    )
    train = source.split("train")
    validation = feed.in_order(source.split("validation"))
    steps = feed.batches(train)
    first = state.get("epochs", 0) * steps + state.get("step", 0)
    names = functools.partial(feed.names, train)
    return Feeds(feed.stream(train, first), validation, steps, info, True, names)


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


def _loaded_feeds(data):
    """Take what `load_data` returned; it is fed as it was loaded."""
    train, validation, info = data
    return Feeds(train.repeat(), validation, int(train.cardinality()), info, False)


def batch_size(data):
    """Images per step of what `load_data` returned."""
    if not (
        isinstance(data, tuple) and len(data) == 3 and isinstance(data[2], DataInfo)
    ):
        raise TypeError(
            "data: must be a source like 'folder:PATH', or the three things that "
            f"load_data returns, got {type(data).__name__}. Pass data=load_data(...)."
        )
    return data[0].element_spec[0].shape[0]
