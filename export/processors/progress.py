"""How far something slow is: one line on a terminal, now and then a line elsewhere."""

import sys
import time

SELDOM = 15.0  # seconds between two lines where no line can be overwritten


class Progress:
    """Says how far one thing is.

    Args:
        name: of it. verbose: 0 for silence.
    """

    def __init__(self, name, verbose=1):
        self._name, self._verbose = name, verbose
        self._last, self._width = time.monotonic(), 0

    def show(self, text):
        """Say it, unless something was said just before."""
        if not self._verbose:
            return
        line = f"{self._name}: {text}"
        if sys.stdout.isatty():
            sys.stdout.write("\r" + line.ljust(self._width))
            self._width = len(line)
        elif time.monotonic() - self._last < SELDOM:
            return
        else:
            sys.stdout.write(line + "\n")
        self._last = time.monotonic()
        sys.stdout.flush()

    def close(self):
        """Leave the line."""
        if self._width:
            sys.stdout.write("\r" + " " * self._width + "\r")
            sys.stdout.flush()
            self._width = 0
