"""Initial weights of a run: a name, a model, or trained weights for these data."""

import pathlib

import keras

from keras_vit import classes, models, variants, weights
from keras_vit.errors import DataError
from keras_vit.models.pretraining import classifier_from
from keras_vit.models.resize import at_size
from keras_vit.training import tasks, weights_origin
from keras_vit.training.data import class_names
from keras_vit.training.data.array_source import ArrayData
from keras_vit.training.data.pipeline import sides
from keras_vit.training.data.sources import Folder, read_once
from keras_vit.training.input_pipeline import is_loaded
from keras_vit.training.recipes import get_recipe
from keras_vit.weights import places


def initial_model(recipe, model, data, asked, task=None):
    """Read the file that a recipe or its caller starts from, if it is one.

    Args:
        recipe: `Recipe`. model, data: as given to `fit`.
        asked: the recipe as given to `fit`, before a file took its model's place.
        task: `Task` that was asked for, or None.

    Returns:
        The recipe; a model, or None where `fit` builds it by the recipe; and a line
        that says where its weights come from.

    Raises:
        ValueError: for an unknown name, or a model that the recipe cannot
            train, or random weights where the recipe goes on from trained ones.
            FileNotFoundError, WeightsMismatch: for a file that cannot be read.
    """
    names = _names(read_once(recipe.data if data is None else data, task))
    if isinstance(model, keras.Model):
        model, head = _given(model, names, tasks.choose(task, recipe, model, data))
        return recipe, model, weights_origin.whose(model) + head
    if not isinstance(recipe.model, str):
        weights_origin.check_random(recipe, asked)
        return recipe, None, weights_origin.built(recipe.model)
    alone = tasks.task_of(get_recipe(asked).model).own_loss
    size = None if is_loaded(data) else recipe.image_size
    notes = []
    keras.utils.set_random_seed(recipe.seed)  # of dropout, and of what is new
    model = read_model(recipe.model, names, recipe.precision, alone, size, notes)
    if model is None:
        weights_origin.check_random(recipe, asked)
        return recipe, None, weights_origin.built(recipe.model)
    # It has its precision already.
    return recipe.override(precision=None), model, ", ".join(notes)


def _given(model, names, task):
    """A model that was given, with a head for the data where its own is another."""
    if names is None or not task.takes_new_head:
        return model, ""
    if not models.has_head(model) or len(model.output_shape) != 2:
        return model, ""
    count = _classes(model, *names())
    if count is None:
        return model, ""
    return models.adapt(model, count), _new_head(count)


def _new_head(count):
    return f", new head for {count} classes"


def _names(data):
    """A function that looks up class names, or None where nobody can know them."""
    if isinstance(data, str):
        return lambda: (data, class_names(data))
    if isinstance(data, Folder):
        return lambda: (data.name, data.scan.class_names)
    if is_loaded(data):
        return lambda: (data[-1].source, data[-1].class_names)
    if isinstance(data, ArrayData):
        return lambda: ("data" if data.named else None, data.class_names)
    return None


def read_model(name, names, precision, alone=False, image_size=None, notes=None):
    """A model for the classes of the data.

    Args:
        name: of a model, which is built with random weights; or a .keras file or a
            checkpoint. Where its classes are others, it gets a new head; so does one
            that has learnt without labels.
        names: function that gives the data's name and class names, or None.
        precision: dtype policy, or None for that of the file.
        alone: whether the run learns without labels: then there is no head.
        image_size: side in px or (H, W) that the model is rebuilt for, its positions
            resampled; None for that of the file, which one without labels keeps.
        notes: list that gets where the weights come from, and what was changed.

    Returns:
        Model, or None for the name of one.
    """
    if not _is_stored(name):
        _check_name(name)
        _check_alone(name, None, alone)
        return None
    notes = [] if notes is None else notes
    size = None if image_size is None else sides(image_size)
    model = _load(name, size)
    notes.append(weights_origin.stored(name))
    _check_alone(name, model, alone)
    classes, found = None, tasks.task_of(model)
    if found.own_loss:
        model = model if alone else _with_head(name, model, names)
        notes += [] if alone else ["new head: it was learnt without labels"]
    elif names is not None and found.takes_new_head:
        classes = _classes(model, *names())
    if classes is not None or precision is not None:
        model = models.adapt(model, classes, precision)
    if classes is not None:
        notes.append(_new_head(classes).removeprefix(", "))
    if size is None or alone:
        return model
    resized = _resized(model, size)
    if resized is not model:
        notes.append("positions resampled to {}x{} px".format(*size))
    return resized


def _resized(model, size):
    """The model at the size of the recipe, its learned positions resampled."""
    full = tuple(model.input_shape[1:3])
    if None in full:
        return model
    try:
        return at_size(model, size)
    except ValueError as err:
        reason = str(err).removeprefix("image_size: ")
        raise ValueError(
            f"image_size: the recipe wants {size[0]}x{size[1]} px, got "
            f"{model.name!r} for {full[0]}x{full[1]} px, which cannot be rebuilt "
            f"({reason}) Pass image_size=None to train at the model's own size."
        ) from err


def _check_name(name):
    """A name is that of a model; one with a point was meant for a checkpoint."""
    if "." in name:
        weights.catalog.find(name)
    variants.parse(name)


def _load(name, size):
    """A saved model as it is; a checkpoint at a size, in the way of its family."""
    name = places.find(name)
    if name.endswith(".keras"):
        return weights.load(name)
    return weights.from_checkpoint(name, image_size=size, verbose=0)


def _check_alone(name, model, alone):
    """A recipe without labels needs a model that can do without."""
    if alone and not tasks.task_of(model).own_loss:
        raise ValueError(
            f"model: the recipe learns without labels, got {name!r}, which has no loss "
            "of its own. Leave it out for the recipe's own model, give a .keras file "
            "of an earlier pre-training, or take recipe='finetune'."
        )


def _with_head(name, model, names):
    """The classifier that begins with what was learnt without labels."""
    if names is None:
        raise ValueError(
            f"model: needs a head for the classes of these data, got {name!r}, a "
            f"{type(model).__name__}. Pass model=keras_vit.classifier_from("
            f"keras_vit.weights.load({name!r}), classes=...)."
        )
    return classifier_from(model, len(names()[1]))


def _is_stored(name):
    """Whether a name is that of trained weights, be they there or not."""
    hub = name.startswith(weights.hub.SCHEME)
    published = hub or name in weights.list_checkpoints()
    path = pathlib.Path(name)
    return published or path.exists() or path.suffix in places.SUFFIXES


def _classes(model, source, names):
    """Outputs of a new head, or None where the head is that of the data."""
    labels = getattr(model, "labels", None)
    if labels is None or source is None:  # names that nobody gave mean nothing
        return None if model.output_shape[-1] == len(names) else len(names)
    try:
        order = classes.numbers(source, names, labels)
    except DataError:  # another class is another head
        return len(names)
    return None if order == list(range(model.output_shape[-1])) else len(names)
