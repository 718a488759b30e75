"""Retry writes: on a full disk a run goes on, and writes later."""

import time

import tensorflow as tf

from keras_vit.progress import tell

ERRORS = (OSError, tf.errors.OpError)  # the latter from event files


class Patience:
    """Retries one write until the disk takes it, and tells when it does not.

    Args:
        what: is written, for the message.
    """

    def __init__(self, what):
        self.what = what
        self.waiting = False

    def attempt(self, write):
        """Write if the disk takes it; a failure is told once.

        Args:
            write: function without arguments.

        Returns:
            Whether it is written.
        """
        try:
            write()
        except ERRORS as err:
            if not self.waiting:
                tell(f"\nCannot write {self.what}, going on: {err}")
            self.waiting = True
            return False
        if self.waiting:
            tell(f"\nThere is space again: {self.what} is written.")
        self.waiting = False
        return True

    def insist(self, write, seconds=10.0):
        """Write, and wait for space as long as it takes, or until Ctrl-C.

        Args:
            write: function without arguments. seconds: between two attempts.
        """
        if self.attempt(write):
            return
        tell(
            f"The training is over; {self.what} stays in memory until there is space. "
            "Ctrl-C gives it up."
        )
        while not self.attempt(write):
            time.sleep(seconds)
