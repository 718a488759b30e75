"""A value that is one of several: checked, and what was probably meant."""

import difflib


def check_choice(name, value, choices):
    """Make sure that an option is among the known ones.

    Raises:
        ValueError: when it is not.
    """
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: must be one of {known}, got {value!r}.")


def did_you_mean(name, known, cutoff=0.6, start=""):
    """The end of a message: the known name that is nearest, or nothing.

    Args:
        name: as it was given. known: names that exist.
        cutoff: least likeness, 0..1. start: put before the name.

    >>> did_you_mean("fintune", ["finetune", "digits"])
    " Did you mean 'finetune'?"
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f" Did you mean {start + near[0]!r}?" if near else ""
