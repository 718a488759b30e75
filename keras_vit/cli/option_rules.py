"""Checks of options: wrong usage is refused before any slow step."""

import math
from argparse import ArgumentTypeError

from keras_vit.choices import check_choice
from keras_vit.weights import places

RANDOM = "random:"  # before the name of a model, in `keras-vit evaluate --probe`

# Where apps run, as `export.export_for` knows them; told without importing it.
PLATFORMS = ("android", "ios", "web", "microcontroller", "server")


class UsageError(ValueError):
    """Options contradict each other; exit code 2."""


def loudness(args):
    """Verbosity: 0 for --quiet and --json, 2 for --verbose, else 1."""
    if args.json or args.quiet:
        return 0
    return 2 if args.verbose else 1


def check_there(args):
    """Refuse a model file that does not exist, before Keras is imported.

    Raises:
        FileNotFoundError: for one.
    """
    named = [getattr(args, "model", None), *(getattr(args, "models", None) or ())]
    for name in filter(None, named):
        places.find(name.removeprefix(RANDOM))


def positive(text):
    """Parse a whole number above 0, for argparse.

    >>> positive("3")
    3
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


def numbers(text):
    """Parse whole numbers above 0, separated by commas, for argparse.

    >>> numbers("1,4")
    (1, 4)
    """
    return tuple(positive(part) for part in text.split(","))


def points(text):
    """Parse points of top-1, 0 to 100, for argparse.

    >>> points("0.5")
    0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"must be from 0 to 100, got {text!r}")
    return value


def sides(text):
    """Parse a side, or height and width with a comma between, in px, for argparse.

    >>> sides("48"), sides("48,64")
    (48, (48, 64))
    """
    found = numbers(text)
    if len(found) > 2:
        raise ArgumentTypeError(f"must be PX or H,W, got {text!r}")
    return found if len(found) == 2 else found[0]


def platform(text):
    """Parse the name of an app's platform, for argparse.

    >>> platform("ios")
    'ios'
    """
    try:
        check_choice("platform", text, PLATFORMS)
    except ValueError as err:
        raise ArgumentTypeError(str(err).partition(": ")[2]) from err
    return text


def words(text):
    """Parse words separated by commas, for argparse.

    >>> words("tflite, onnx")
    ['tflite', 'onnx']
    """
    return [part.strip() for part in text.split(",") if part.strip()]
