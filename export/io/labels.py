"""Class names of a file: checked, and as lines of text."""

from keras_vit.models.output_activation import labels_of
from keras_vit.tasks import output_task

LABELS = "labels.txt"


def lines(labels):
    """Join class names to lines; line breaks inside a name become spaces.

    >>> lines(["ant", "bee eater"])
    'ant\\nbee eater'
    """
    return "\n".join(" ".join(str(name).split()) for name in labels)


def check_labels(labels, model, contract):
    """Check class names against the number of classes.

    Args:
        labels: list of names, or None for the model's own.
        model: the Keras model; its `labels` are the default. contract: of it.

    Returns:
        list of str, or None when there are none.

    Raises:
        TypeError, ValueError: for labels that are no list of names, of the wrong
            count, or empty. Two classes may have one name: ImageNet has such.
    """
    is_given = labels is not None
    labels = labels if is_given else labels_of(model)
    if labels is None:
        return None
    if isinstance(labels, (dict, set)):
        raise TypeError(
            "labels: must be a list of class names, in the order of the model's "
            f"outputs, got a {type(labels).__name__}. Of a dict of indices, pass "
            "[labels[i] for i in range(len(labels))]."
        )
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__len__"):
        raise TypeError(
            f"labels: must be a list of class names, got {labels!r}. Read a file with "
            "Path('labels.txt').read_text().splitlines()."
        )
    scores = contract.outputs[0]
    classes, names = output_task(scores).classes(scores), [str(name) for name in labels]
    if classes is None:
        if not is_given:
            return None
        raise ValueError(
            f"labels: go with a model that gives scores (B, K), got {scores}. Leave "
            "labels out."
        )
    if len(names) != classes:
        raise ValueError(
            f"labels: must name {classes} classes, got {len(names)} names. Pass one "
            "name per class, in the order of the model's outputs."
        )
    if not all(name.strip() for name in names):
        index = next(i for i, name in enumerate(names) if not name.strip())
        raise ValueError(
            f"labels: must not be empty, got {names[index]!r} for class {index}. Give "
            "it a name."
        )
    return names
