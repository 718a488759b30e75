"""Checks of option values, with a suggestion for misspelt ones."""

import difflib
import numbers

# Values in other libraries -> values here, where they are among the choices.
ELSEWHERE = {
    **dict.fromkeys(("avg", "mean", "average"), "gap"),
    **dict.fromkeys(("cls", "class_token", "first"), "token"),
    **dict.fromkeys(("attention", "attn"), "map"),
    **dict.fromkeys(("fp16", "half", "f16"), "float16"),
    **dict.fromkeys(("int8", "dynamic", "dynamic_range"), "dynamic_int8"),
    **dict.fromkeys(("tf", "inception"), "google"),
    **dict.fromkeys(("torch", "timm"), "imagenet"),
    **dict.fromkeys(("iphone", "ipad", "apple", "swift"), "ios"),
    **dict.fromkeys(("phone", "mobile", "kotlin"), "android"),
    **dict.fromkeys(("browser", "javascript", "js"), "web"),
    **dict.fromkeys(("mcu", "arduino", "esp32", "tflite-micro"), "microcontroller"),
    **dict.fromkeys(("serving", "tensorflow-serving", "cloud"), "server"),
}


def check_choice(name, value, choices):
    """Check that an option is one of the known values.

    Raises:
        ValueError: when it is not.
    """
    if value not in choices:
        known = ", ".join(map(repr, choices))
        hint = likely(value, choices)
        raise ValueError(f"{name}: must be one of {known}, got {value!r}.{hint}")


def likely(value, choices):
    """End of an error message that suggests the value meant, or "".

    >>> likely("fp16", [None, "float16"])
    " Use 'float16'."
    """
    meant = ELSEWHERE.get(value) if isinstance(value, str) else None
    if meant is not None and meant in choices:
        return f" Use {meant!r}."
    return did_you_mean(value, [c for c in choices if isinstance(c, str)])


def whole(value):
    """Convert numpy's integers to int; other values stay as they are.

    >>> import numpy
    >>> whole(numpy.int64(3)), whole(True), whole("3")
    (3, True, '3')
    """
    number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if number else value


def did_you_mean(name, known, cutoff=0.6, start=""):
    """End of an error message that suggests the nearest known name, or "".

    Args:
        name: as it was given. known: names that exist.
        cutoff: least likeness, 0..1. start: put before the name.

    >>> did_you_mean("fintune", ["finetune", "digits"])
    " Did you mean 'finetune'?"
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f" Did you mean {start + near[0]!r}?" if near else ""
