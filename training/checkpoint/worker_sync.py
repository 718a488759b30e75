"""Synchronise the workers of a run: they stop and write behind the same step."""

import time

import numpy as np
import tensorflow as tf

from keras_vit.training.engine import multi_worker


class Agreement:
    """A question that all workers answer behind the same step, now and then.

    Who is told to stop, or finds that it is time to write, must not act alone: the
    others would wait for it for ever. To ask behind each step costs time on a network.
    So they ask after as many steps as take about two seconds: counted, since clocks
    differ, and the count is agreed on as well.

    Args:
        strategy: `tf.distribute.Strategy`.
    """

    seconds = 2.0

    def __init__(self, strategy):
        self.number, self.count = multi_worker.place(strategy)
        self._share = strategy.num_replicas_in_sync // self.count
        self._calls, self._due = 0, 1
        self._asked = time.monotonic()

        @tf.function
        def add(rows):
            found = strategy.run(lambda: rows)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)

        self._add = add

    def ask(self, wishes):
        """To be called behind each step, by all.

        Args:
            wishes: n numbers of this worker.

        Returns:
            (workers, n) float64, the wishes of all, where it is time to ask; else None.
            A single worker is always asked.
        """
        if self.count == 1:
            return np.array([wishes], "float64")
        self._calls += 1
        if self._calls < self._due:
            return None
        pace = (time.monotonic() - self._asked) / self._calls
        found = self.gather([pace, *wishes])
        self._due = max(1, int(self.seconds / max(found[:, 0].max(), 1e-6)))
        self._calls, self._asked = 0, time.monotonic()
        return found[:, 1:]

    def gather(self, numbers):
        """The numbers of all workers; all wait here for each other.

        Args:
            numbers: n of this worker, float32 or whole below 2 ** 53.

        Returns:
            (workers, n) float64, exact.
        """
        rows = np.zeros((self.count, len(numbers)))
        rows[self.number] = numbers
        if self.count == 1:
            return rows
        return self._add(tf.constant(rows)).numpy() / self._share


def check_same(strategy, done):
    """Make sure that all workers go on from the same state; all wait here.

    Args:
        done: [epochs, steps of the next epoch] that this one finds finished.

    Raises:
        ValueError: naming what each finds.
    """
    found = Agreement(strategy).gather(done).astype("int64").tolist()
    if any(other != found[0] for other in found):
        raise ValueError(
            "output_dir: must hold the same state for all workers, got [epochs, steps] "
            f"{found}. Give all of them one folder that all can read."
        )
