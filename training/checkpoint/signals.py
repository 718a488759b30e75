"""Signals (SIGTERM, Ctrl-C): a run stops between two steps, with nothing lost."""

import os
import signal

TERMINATED = 143  # exit code of a process that ended on SIGTERM
HEARD = b"\nStopping after this step. Ctrl-C again stops at once.\n"


class StopSignals:
    """Note SIGTERM and the first Ctrl-C; a second Ctrl-C interrupts at once.

    Signals reach the main thread alone: in another one nothing is noted, and Ctrl-C
    does what it always does.

    Args:
        verbose: whether to tell that Ctrl-C was heard.
    """

    def __init__(self, verbose=0):
        self.verbose = verbose
        self.heard = None
        self._before = {}

    def listen(self):
        """Take the signals, but for a Ctrl-C that somebody else has taken."""
        wanted = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            wanted.append(signal.SIGINT)
        try:
            for number in wanted:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:
            self._before = {}

    def _note(self, number, frame):
        again = number == signal.SIGINT and self.heard == signal.SIGINT
        self.heard = number
        if again:
            raise KeyboardInterrupt
        if number == signal.SIGINT and self.verbose:
            os.write(2, HEARD)  # print is not safe here

    def obey(self, heard):
        """End the run if it was told to.

        Args:
            heard: number of the signal, or None.

        Raises:
            SystemExit: with 143, after SIGTERM. KeyboardInterrupt: after Ctrl-C.
        """
        if heard == signal.SIGTERM:
            raise SystemExit(TERMINATED)
        if heard == signal.SIGINT:
            raise KeyboardInterrupt

    def deafen(self):
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
