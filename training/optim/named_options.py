"""Fields of a recipe that are a name (of a loss, optimiser, schedule) or a dict."""

from keras_vit.choices import did_you_mean


def read(where, given, table, options_of):
    """Look a choice up.

    Args:
        where: field, for messages. given: name, or dict with "name" and options.
        table: name -> class. options_of: class -> names of options.

    Returns:
        Class, and dict of the options that were given.

    Raises:
        ValueError: for an unknown name or option.

    >>> read("shape", {"name": "dict", "a": 1}, {"dict": dict}, lambda kind: ["a"])
    (<class 'dict'>, {'a': 1})
    """
    options = {"name": given} if isinstance(given, str) else dict(given)
    name = options.pop("name", None)
    if name not in table:
        hint = did_you_mean(name, table)
        known = ", ".join(table)
        raise ValueError(f"{where}: must be one of {known}, got {name!r}.{hint}")
    known = options_of(table[name])
    for key in options:
        if key not in known:
            raise ValueError(
                f"{where}: {name!r} takes {', '.join(known) or 'no options'}, got "
                f"{key!r}. Remove it, or see whether the recipe has such a field."
            )
    return table[name], options
