"""What a run starts from: a name, a model, or trained weights for these data."""

import pathlib

import keras

from keras_vit import classes, models, variants, weights
from keras_vit.errors import DataError
from keras_vit.training.data import DataInfo, class_names


def start(recipe, model, data):
    """Read the file that a recipe or its caller starts from, if it is one.

    Args:
        recipe: `Recipe`. model, data: as given to `fit`.

    Returns:
        The recipe, and a model or None where `fit` builds it by the recipe.

    Raises:
        ValueError: for a name that is none. FileNotFoundError, WeightsMismatch: for
            a file that cannot be read.
    """
    if isinstance(model, keras.Model):
        return recipe, model
    if not isinstance(recipe.model, str):
        return recipe, None
    names = _names(recipe.data if data is None else data)
    model = starting_point(recipe.model, names, recipe.precision)
    if model is None:
        return recipe, None
    return recipe.override(precision=None), model  # it has its precision already


def _names(data):
    """A function that looks up class names, or None where nobody can know them."""
    if isinstance(data, str):
        return lambda: (data, class_names(data))
    if isinstance(data, tuple) and isinstance(data[-1], DataInfo):
        return lambda: (data[-1].source, data[-1].class_names)
    return None


def starting_point(name, names, precision):
    """A model for the classes of the data.

    Args:
        name: of a model, which is built with random weights; or a .keras file or a
            checkpoint. Where its classes are others, it gets a new head.
        names: function that gives the data's name and class names, or None.
        precision: dtype policy, or None for that of the file.

    Returns:
        Model, or None for the name of one.
    """
    if not _is_stored(name):
        variants.parse(name)
        return None
    model = weights.load(name)
    classes = None if names is None else _classes(model, *names())
    if classes is None and precision is None:
        return model
    return models.adapt(model, classes, precision)


def _is_stored(name):
    """Whether a name is that of trained weights, be they there or not."""
    hub = name.startswith(weights.hub.SCHEME)
    published = hub or name in weights.list_checkpoints()
    path = pathlib.Path(name)
    return published or path.exists() or path.suffix in weights.checkpoint.SUFFIXES


def _classes(model, source, names):
    """Outputs of a new head, or None where the head is that of the data."""
    if model.labels is None:
        return None if model.output_shape[-1] == len(names) else len(names)
    try:
        order = classes.numbers(source, names, model.labels)
    except DataError:  # another class is another head
        return len(names)
    return None if order == list(range(model.output_shape[-1])) else len(names)
