"""The command `keras-vit`: the only room that prints and sets exit codes.

Nothing heavy is imported before the words are read: what a sub-command needs is
imported in its function.
"""

import argparse
import contextlib
import json
import os
import signal
import sys

import keras_vit
from keras_vit import _command, _needs
from keras_vit.cli import (
    data,
    evaluation,
    export,
    inspect,
    models,
    processors,
    proof,
    runs,
    train,
    training,
)
from keras_vit.cli.messages import Help, in_options, options_of
from keras_vit.cli.option_rules import UsageError
from keras_vit.errors import KerasViTError

# Errors that a user can fix: one line, no traceback.
EXPECTED = (
    KerasViTError,
    ValueError,
    TypeError,
    OSError,
    ImportError,
    ArithmeticError,
)
# Wrong usage: an unknown name or field, a value out of range, a file
# that is missing or in the way. Anything else was begun, and failed.
ASKED_WRONGLY = (
    UsageError,
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)
CODES = """Exit codes: 0 done; 1 failed, or judged and not passed; 2 wrong usage, an
unknown name or field, a missing file; 130 interrupted. For completion in bash and zsh:
eval "$(register-python-argcomplete keras-vit)"."""


def parser():
    """Build the parser of all sub-commands."""
    top = argparse.ArgumentParser(
        prog="keras-vit",
        description="Vision Transformers in Keras: from images to a verified file.",
        epilog=CODES,
    )
    top.add_argument(
        "--version", action="version", version=f"keras-vit {keras_vit.__version__}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    rooms = (models, train, training, data, runs, evaluation, inspect, export, proof)
    for room in (*rooms, processors):
        room.add_commands(commands)
    for name, command in commands.choices.items():
        command.formatter_class = Help
        _add_common(command)
        command.set_defaults(command=name)
    return top


def _add_common(command):
    """Add the options that every sub-command has."""
    command.add_argument(
        "--json", action="store_true", help="print one JSON object for programs"
    )
    loudness = command.add_mutually_exclusive_group()
    loudness.add_argument(
        "--quiet", action="store_true", help="print no progress and no notes"
    )
    loudness.add_argument(
        "--verbose",
        action="store_true",
        help="print log lines instead of progress bars, and the libraries' messages",
    )
    command.add_argument(
        "--debug", action="store_true", help="print the traceback of an error"
    )


def main(argv=None):
    """Run one sub-command.

    Args:
        argv: words after the program's name; None takes them from the process.

    Returns:
        Exit code: 0 done; 1 failed, or judged and not passed; 2 wrong usage, an
        unknown name or field, a missing file; 130 interrupted.

    Raises:
        SystemExit: with 143 on SIGTERM, after what was half-written is removed; with
            2 when the words are none of the command.
    """
    arguments = parser()
    _complete(arguments)
    args = arguments.parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)
    if args.verbose:
        _command.start_loudly()
    try:
        with _tidy_on_sigterm():
            answer, text, code = args.run(args)
    except KeyboardInterrupt:
        print(
            "\nkeras-vit: interrupted; nothing half-written is left.", file=sys.stderr
        )
        return 130
    except EXPECTED as err:
        if args.debug:
            raise
        return _refuse(err, args.command, arguments)
    try:
        if args.json or text:  # else all was said on the way
            print(json.dumps(answer, indent=2, default=str) if args.json else text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read, as in `keras-vit list | head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _complete(arguments):
    """Answer a shell's request for completion; ends the process then."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(arguments)


def _refuse(err, command, arguments):
    """Print an error in the command's words; returns the exit code."""
    options = options_of(arguments, command)
    said = _needs.other_backend(getattr(err, "name", None)) or str(err)
    text = in_options(said, options, fields="set" in options)
    print(f"keras-vit {command}: {text}", file=sys.stderr)
    failed = isinstance(err, KerasViTError) or not isinstance(err, ASKED_WRONGLY)
    return 1 if failed else 2


@contextlib.contextmanager
def _tidy_on_sigterm():
    """Convert SIGTERM to an exception inside the block, so that it cleans up.

    By default it ends a process at once. A handler of somebody else's stays, and so
    does the default outside the main thread, where signals do not arrive.
    """

    def end(number, frame):
        signal.signal(number, signal.SIG_IGN)  # a second one must not cut this short
        raise SystemExit(128 + number)

    try:
        default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        before = signal.signal(signal.SIGTERM, end) if default else None
    except ValueError:
        default = False
    try:
        yield
    finally:
        if default:
            signal.signal(signal.SIGTERM, before)
