"""The command `keras-vit`: the only room that prints and sets exit codes."""

import argparse
import contextlib
import json
import os
import signal
import sys

from keras_vit.cli import (
    data,
    deploy,
    evaluation,
    inspect,
    models,
    processors,
    proof,
    runs,
    training,
)
from keras_vit.cli.usage import UsageError
from keras_vit.errors import KerasViTError

# What a user can cause and mend: one line, no traceback.
EXPECTED = (
    KerasViTError,
    ValueError,
    TypeError,
    OSError,
    ImportError,
    ArithmeticError,
)


def parser():
    """The parser of all sub-commands."""
    top = argparse.ArgumentParser(
        prog="keras-vit",
        description="Vision Transformers in Keras: from images to a verified file.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    rooms = (models, training, data, runs, evaluation, inspect, deploy, proof)
    for room in (*rooms, processors):
        room.add_commands(commands)
    for name, command in commands.choices.items():
        command.add_argument(
            "--json", action="store_true", help="print one JSON object for programs"
        )
        command.add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )
        command.set_defaults(command=name)
    return top


def main(argv=None):
    """Run one sub-command.

    Args:
        argv: words after the program's name; None takes them from the process.

    Returns:
        Exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Raises:
        SystemExit: with 143 on SIGTERM, after what was half-written is removed; with
            2 when the words are none of the command.
    """
    args = parser().parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)
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
        print(f"keras-vit {args.command}: {err}", file=sys.stderr)
        return 2 if isinstance(err, UsageError) else 1
    try:
        print(json.dumps(answer, indent=2, default=str) if args.json else text)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read, as in `keras-vit list | head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


@contextlib.contextmanager
def _tidy_on_sigterm():
    """Let SIGTERM end the block as an exception does, so that it cleans up.

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
