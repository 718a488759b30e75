"""Interleaved timing, so that load on the machine affects all files alike."""

import statistics
import time

ROUNDS = 15
WARM_UP = 2


def interleaved(calls, image, seconds=4.0, least=3):
    """Time several callables on one image, in turns.

    Processor seconds are counted, not seconds on the wall: other programs then
    disturb little, and a runtime that uses more threads gains nothing.

    Args:
        calls: callables of a (1, H, W, C) array. image: that array.
        seconds: to spend per callable, about; between `least` and 15 rounds.
        least: number of rounds to take at any rate.

    Returns:
        For each callable the median, in ms.
    """
    for call in calls:
        for _ in range(WARM_UP):
            call(image)
    taken = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            start = time.process_time()
            call(image)
            times.append(1e3 * (time.process_time() - start))
        enough = len(taken[0]) >= least
        if enough and max(map(sum, taken)) > 1e3 * seconds:
            break
    return [statistics.median(times) for times in taken]
