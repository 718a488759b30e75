"""Console output: progress lines, and converters' messages only when they fail."""

import contextlib
import logging
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet():
    """Capture what the block writes to stdout and stderr; show it on failure.

    When the block fails, the last lines become a note of the exception.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    level = logging.root.manager.disable
    with (
        tempfile.TemporaryFile("w+", buffering=1, errors="replace") as caught,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(_release, caught)
        for stream in (1, 2):
            stack.callback(_restore, os.dup(stream), stream)
            os.dup2(caught.fileno(), stream)
        # Notebooks and pytest put other objects in the place of the two streams.
        stack.enter_context(contextlib.redirect_stdout(caught))
        stack.enter_context(contextlib.redirect_stderr(caught))
        logging.disable(logging.WARNING)
        stack.callback(logging.disable, level)
        try:
            yield
        except Exception as err:
            caught.seek(0)
            err.add_note(caught.read()[-2000:])
            raise


def _release(caught):
    """Point loggers that were set up inside the block to the real stream.

    TensorFlow sets up its own at its first warning.
    """
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            if getattr(handler, "stream", None) is caught:
                handler.setStream(sys.stderr)


def _restore(saved, stream):
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(saved, stream)
    os.close(saved)


def say(text, verbose=1):
    """Print one line of progress.

    Args:
        text: the line. verbose: 0 for silence.
    """
    if verbose:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
