"""Matching of a data set's class names to a model's labels."""

from keras_vit import imagenet
from keras_vit.errors import DataError

SHOWN = 5  # names in an error message


def numbers(source, class_names, labels):
    """Find the output index of each class of a data set, by its name.

    Case, spaces and underscores do not matter, and a label may list synonyms:
    "tench, Tinca tinca" is found as "tench". Where the labels are those of
    ImageNet-1k, "n01440764" is found too.

    Args:
        source: name of the data set, for the error.
        class_names: names of the data set, in its order.
        labels: K names, in the order of the outputs.

    Returns:
        For each class of the data set its number among the labels.

    Raises:
        DataError: for a class that no label, or more than one, stands for.

    >>> numbers("folder:pets", ["cat", "Great Dane"], ["great_dane", "hen", "cat"])
    [2, 0]
    """
    known = _words(labels)
    if len(class_names) == len(known) and all(
        plain(name) in words for name, words in zip(class_names, known, strict=True)
    ):
        return list(range(len(known)))  # names that occur twice are told by place
    candidates = matches(class_names, labels)
    wrong = [n for n, k in zip(class_names, candidates, strict=True) if len(k) != 1]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        got = ", ".join(wrong[:SHOWN]) + more
        raise DataError(
            f"{source}: each class must be one of the {len(labels)} labels of the "
            f"model ({', '.join(labels[:3])}...), got {got}. "
            "Rename the classes, or number them in their own order (labels=None, "
            "--by-order)."
        )
    return [k for (k,) in candidates]


def matches(names, labels):
    """Every label that each name may mean; see `numbers` for the rule.

    Args:
        names, labels: lists of names.

    Returns:
        For each name a list of numbers of labels.

    >>> matches(["Crane", "dog"], ["crane", "hen", "crane"])
    [[0, 2], []]
    """
    places = {}
    for number, words in enumerate(_words(labels)):
        for word in words:
            places.setdefault(word, []).append(number)
    return [list(places.get(plain(name), ())) for name in names]


def _words(labels):
    """The normalised words of each label, for comparison."""
    known = [{plain(word) for word in [text, *text.split(",")]} for text in labels]
    if len(labels) == len(imagenet.WORDNET) and plain(imagenet.NAMES[0]) in known[0]:
        known = [k | {w} for k, w in zip(known, imagenet.WORDNET, strict=True)]
    return known


def plain(text):
    """Normalise a name for comparison.

    >>> plain(" Great_Dane")
    'great dane'
    """
    return text.replace("_", " ").strip().casefold()
