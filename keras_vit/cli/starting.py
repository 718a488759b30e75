"""What `keras-vit train` starts from: a name, or trained weights for these data."""

import pathlib

from keras_vit import models, variants, weights
from keras_vit.cli.models import load


def starting_point(name, data, precision):
    """A model for the classes of the data.

    Args:
        name: of a model, which is built with random weights; or a .keras file or a
            checkpoint. Where its classes are others, it gets a new head.
        data: source of images, or None when nobody named one.
        precision: dtype policy, or None for that of the file.

    Returns:
        Name or model, as `training.fit` takes it.
    """
    known = name.startswith(weights.hub.SCHEME) or name in weights.list_checkpoints()
    if not known and not pathlib.Path(name).exists():
        variants.parse(name)
        return name
    model = load(name)
    classes = None if data is None else _classes(model, data)
    if classes is None and precision is None:
        return model
    return models.adapt(model, classes, precision)


def _classes(model, data):
    """Outputs of a new head, or None where the head is that of the data."""
    from keras_vit import classes, training
    from keras_vit.errors import DataError

    names = training.class_names(data)
    if model.labels is None:
        return None if model.output_shape[-1] == len(names) else len(names)
    try:
        order = classes.numbers(data, names, model.labels)
    except DataError:  # another class is another head
        return len(names)
    return None if order == list(range(model.output_shape[-1])) else len(names)
