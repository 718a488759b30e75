"""Error messages with command options in place of Python arguments."""

import argparse
import re

# Names in Python -> options that are called otherwise.
RENAMED = {"output_dir": "--output"}
QUOTES = "'\""
VALUE = r"""(?:'[^'\n]*'|"[^"\n]*"|\([^()\n]*\)|\.\.\.|[\w+-]+(?:\.\d+)?)"""


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default of each option that takes a value to its help text."""

    def _get_help_string(self, action):
        flag = action.nargs == 0
        empty = action.default is None or action.default == []
        if flag or empty or "default" in action.help:
            return action.help
        return super()._get_help_string(action)


def in_options(text, options, fields=False):
    """Replace Python's arguments in a message by the command's options.

    Args:
        text: of an error. options: name in Python -> option of the command.
        fields: whether the command takes any other field with --set.

    >>> in_options("pass overwrite=True.", {"overwrite": "--overwrite"})
    'pass --overwrite.'
    >>> in_options("Pass epochs=3, lora=8.", {"epochs": "--epochs"}, fields=True)
    'Pass --epochs 3, --set lora=8.'
    """

    def told(found):
        before, name, value = found.groups()
        if name not in options:
            return f"{before}--set {name}={value}" if fields else found[0]
        value = "" if value == "True" else f" {value.strip(QUOTES)}"
        return f"{before}{options[name]}{value}"

    pattern = rf"(^|\s\(?)([a-z_0-9]+)=({VALUE})(?!\w|\(|\.\w)"
    text = re.sub(pattern, told, text)
    lead = re.match(r"(?!recipe:)([a-z_0-9]+)(: )", text)  # whose fields have options
    if lead and lead[1] in options:
        text = options[lead[1]] + text[lead.end(1) :]
    return text


def options_of(parser, command):
    """Name in Python -> option, of one command.

    Args:
        parser: of all commands. command: name of one.
    """
    (commands,) = (a for a in parser._actions if hasattr(a, "choices") and a.choices)
    actions = commands.choices[command]._actions
    own = {a.dest: a.option_strings[-1] for a in actions if a.option_strings}
    flags = own.values()
    return own | {k: v for k, v in RENAMED.items() if v in flags and k not in own}
