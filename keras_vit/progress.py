"""Progress output: one updated line on a terminal, plain lines in a log.

Everything that takes long shows itself through this file: training, evaluation,
calibration, conversion, downloads.
"""

import contextlib
import os
import shutil
import sys
import time

RENEWED = 0.2  # seconds between two states of a line on a terminal
NOTED = 1.0  # seconds between two lines of a log, at least
TENTHS = 10  # lines of a log, at most
BAR = 10  # characters
SELDOM = 15.0  # seconds until the first line of a log on what has no numbers


def tell(text, line_break=True):
    """Print as Keras does; ignore a full disk behind the output file.

    Without Keras, which nobody needs for a download, as it does by default.
    """
    with contextlib.suppress(OSError):
        if "keras" in sys.modules:
            from keras_vit.private_keras import print_msg

            print_msg(text, line_break)
        else:
            sys.stdout.write(text + "\n" * line_break)
            sys.stdout.flush()


def is_live():
    """Whether a line can be overwritten: on a terminal or in a notebook."""
    if "ipykernel" in sys.modules:
        return True
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal and os.environ.get("TERM") != "dumb"


def show(line, stays=False):
    """Overwrite the previous line, on a terminal.

    Args:
        line: text. stays: whether the next one goes below it.
    """
    width = shutil.get_terminal_size().columns - 1
    tell(f"\r{(line if stays else line[:width]).ljust(width)}", line_break=stays)


def drawn(share):
    """Draw a bar of a share of 0 to 1.

    >>> drawn(0.34)
    '━━━╌╌╌╌╌╌╌'
    """
    full = int(BAR * share)
    return "━" * full + "╌" * (BAR - full)


def clock(seconds):
    """Format a duration: minutes and seconds, and hours where needed.

    >>> clock(3723.4), clock(59.6)
    ('1:02:03', '1:00')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def about(seconds):
    """Format an estimated duration.

    >>> about(83.0), about(0.4)
    ('about 1:23', 'a few seconds')
    """
    return "a few seconds" if seconds < 5 else f"about {clock(seconds)}"


class Parts:
    """Progress of work in unequal parts, with the estimated rest.

    What is left is judged by the time of the parts before, counted by their costs.

    Args:
        costs: of each part, in order, in any unit. unit: what a part is, in one word.
    """

    def __init__(self, costs, unit):
        self._costs, self._unit, self._begun = list(costs), unit, 0
        self._start = time.monotonic()

    def begin(self):
        """Begin the next part; returns a text such as "file 2 of 5, ...".

        >>> Parts([1, 1], "file").begin()
        'file 1 of 2'
        """
        done, left = sum(self._costs[: self._begun]), sum(self._costs[self._begun :])
        self._begun += 1
        text = f"{self._unit} {self._begun} of {len(self._costs)}"
        if not done:
            return text
        spent = time.monotonic() - self._start
        return f"{text}, {clock(spent)} so far, {about(spent / done * left)} left"


class Pulse:
    """Decides when the next progress line is due.

    On a terminal five times a second. In a log at every tenth, `noted` seconds apart or
    more; of what has no end at 1, 2, 4, 8 ...

    Args:
        live: whether lines are renewed. noted: seconds between two lines of a log.
    """

    def __init__(self, live, noted=NOTED):
        self._live, self._noted = live, noted
        self.restart()

    def restart(self):
        """Restart the timing."""
        self._shown, self._tenth = time.monotonic(), 0

    def is_due(self, done, total):
        """Whether a line is due at this count. total: None where unknown."""
        waited = time.monotonic() - self._shown
        tenth = done.bit_length() if total is None else TENTHS * done // total
        if self._live:
            due = waited >= RENEWED
        else:
            due = tenth > self._tenth and waited >= self._noted
        if due:
            self._shown, self._tenth = time.monotonic(), tenth
        return due


class Status:
    """Shows the state of work whose length is unknown.

    One line that is renewed; in a log a line after 15 seconds, then each after twice
    the time of the one before.

    Args:
        name: of it. verbose: 0 for silence.
    """

    def __init__(self, name, verbose=1):
        self._name, self._verbose, self._live = name, verbose, is_live()
        self._began, self._wait, self._open = time.monotonic(), SELDOM, False

    def show(self, text):
        """Show a state, unless one was shown just before."""
        if not self._verbose:
            return
        if self._live:
            show(f"{self._name}: {text}")
            self._open = True
        elif time.monotonic() - self._began >= self._wait:
            self._wait *= 2
            tell(f"{self._name}: {text}")

    def close(self):
        """Clear the line and end it."""
        if self._open:
            show("")
            tell("\r", line_break=False)
        self._open = False


class Bar:
    """Shows a progress bar with the estimated rest.

    On a terminal one line is renewed. In a log or a pipe there is a line at every
    tenth, at most one a second, and one at the end, without control characters.

    Args:
        total: how much there is, or None where nobody knows.
        unit: what is counted, in one word; "byte" is shown as MB.
        verbose: 0 for silence.
        first: how much was done before, in an earlier attempt.
    """

    def __init__(self, total, unit, verbose=1, first=0):
        self.total, self.unit, self.verbose = total, unit, verbose
        self.done = self.first = first
        self._live = bool(verbose) and is_live()
        self._began, self._over = time.monotonic(), False
        self._pulse = Pulse(self._live)

    def add(self, count=1):
        """Count more as done."""
        self.update(self.done + count)

    def update(self, done):
        """Set how much is done."""
        self.done = done
        if self.total is not None and done >= self.total:
            self.finish()
        elif self.verbose and not self._over and self._pulse.is_due(done, self.total):
            show(self._text()) if self._live else tell(self._text())

    def finish(self):
        """End the bar; its last line stays. A second call does nothing."""
        if self.verbose and not self._over and self.done:
            show(self._text(), stays=True) if self._live else tell(self._text())
        self._over = True

    def _text(self):
        spent = time.monotonic() - self._began
        if self.total is None:
            return f"{self._count(self.done)}, {clock(spent)}"
        share = min(1.0, self.done / max(self.total, 1))
        left = f"{clock(spent)} in all" if share == 1.0 else ""
        if share < 1 and self.done > self.first:
            pace = spent / (self.done - self.first)
            left = f"{clock(pace * (self.total - self.done))} left"
        text = f"{share:4.0%} {drawn(share)} " if self._live else f"{share:4.0%}  "
        return f"{text}{self._count(self.done, self.total)}  {left}".rstrip()

    def _count(self, *numbers):
        if self.unit == "byte":
            return " of ".join(f"{number / 1e6:,.1f}" for number in numbers) + " MB"
        plural = "es" if self.unit.endswith("ch") else "s"
        ending = "" if numbers[-1] == 1 else plural
        return (
            " of ".join(f"{number:,}" for number in numbers) + f" {self.unit}{ending}"
        )
