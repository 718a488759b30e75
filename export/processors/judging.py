"""What a file answers on other processors, beside Keras and beside this machine."""

import numpy as np

from keras_vit.export.compare import Tally
from keras_vit.export.comparison import Comparison
from keras_vit.export.processors import session
from keras_vit.export.processors.child import TIME_LIMIT
from keras_vit.export.processors.targets import COMPILER
from keras_vit.export.processors.trial import Trial


class Trials:
    """Runs a file on processors while the images pass by, as `verify` does here.

    A context: leaving it ends the processes.

    Args:
        reference: `Reference` or `Faced` that answers as the file should.
        runtime: `Runtime` of the file on this machine.
        targets: list of `targets.Target`, checked before.
        max_points_lost: as in `verify`. time_limit: seconds for each processor.
        verbose: 0 for silence.
    """

    def __init__(
        self,
        reference,
        runtime,
        targets,
        max_points_lost=None,
        time_limit=TIME_LIMIT,
        verbose=1,
    ):
        self._reference, self._runtime = reference, runtime
        options = (max_points_lost, time_limit, verbose)
        self._trials = [
            Compiled(target, runtime, *options)
            if target.kind == COMPILER
            else Running(target, runtime, reference, *options)
            for target in targets
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for trial in self._trials:
            trial.close()

    def add(self, images, labels, expected):
        """Look at one batch; fits `verify_all`'s observe."""
        if not self._trials:
            return
        here = self._reference.complete(expected, self._runtime(images))
        for trial in self._trials:
            trial.add(images, labels, expected, here)

    def results(self):
        """Name -> `Trial` of each."""
        return {trial.name: trial.result() for trial in self._trials}


class Running:
    """One processor that answers. Started by its first batch.

    Args:
        target, runtime, reference, max_points_lost, time_limit, verbose: see `Trials`.
    """

    def __init__(self, target, runtime, reference, max_points_lost, *options):
        self.name, self._target, self._runtime = target.name, target, runtime
        self._reference, self._points = reference, max_points_lost
        self._options = options
        self._comparison = Comparison(runtime, reference.contract)
        self._native, self._same = Tally(), 0
        self._session, self._there, self._broken = None, None, ""

    def add(self, images, labels, expected, here):
        """Run one batch. here: what this machine's runtime answers."""
        if self._broken:
            return
        try:
            if self._session is None:
                given = (self._target, self._runtime, *self._options)
                self._session = session.open_session(*given)
                self._there = self._runtime.executed_by(self._session)
            got = self._reference.complete(expected, self._there(images))
        except ChildProcessError as err:  # the file breaks there: a verdict
            self._broken = str(err)
            return
        self._comparison.add(expected, got, labels)
        for ours, theirs in zip(here, got, strict=True):
            self._native.add(ours, theirs)
        if here[0].ndim == 2:
            self._same += int(np.sum(here[0].argmax(axis=1) == got[0].argmax(axis=1)))

    def result(self):
        """`Trial` so far."""
        trial, one = Trial(self.name, self._target.kind), self._comparison
        if self._session is not None:
            trial.seconds, trial.facts = self._session.seconds, self._session.facts
            if "arena_bytes" in trial.facts:
                trial.told = f"{trial.facts['arena_bytes']:,} bytes of arena"
        if one.images:
            trial.images, trial.top1 = one.images, one.top1
            trial.agreement = one.agreement
            trial.largest_difference = max(tally.largest for tally in one.tallies)
            trial.signal_to_noise_db = min(tally.decibel for tally in one.tallies)
            trial.native_difference = self._native.largest
            trial.native_db = self._native.decibel
            if trial.agreement is not None:
                trial.native_agreement = 100.0 * self._same / one.images
            trial.reasons = one.reasons(self._points)
        if self._broken:
            trial.reasons = [*trial.reasons, self._broken]
        return trial

    def close(self):
        """End the process."""
        if self._session is not None:
            self._session.close()


class Compiled:
    """One compiler: it is asked once, at the end.

    Args:
        target, runtime, max_points_lost, time_limit, verbose: see `Trials`.
    """

    def __init__(self, target, runtime, max_points_lost, *options):
        self.name, self._target, self._runtime = target.name, target, runtime
        self._options = options

    def add(self, images, labels, expected, here):
        """Images do not matter."""

    def result(self):
        """`Trial` of compiling the file."""
        return session.compile_for(self._target, self._runtime, *self._options)

    def close(self):
        """Nothing is left running."""
