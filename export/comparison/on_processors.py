"""Comparison of a file's answers on other processors with Keras and this machine."""

import numpy as np

from keras_vit.export.comparison.running_tally import Comparison
from keras_vit.export.processors import session
from keras_vit.export.processors.child import TIME_LIMIT
from keras_vit.export.processors.targets import COMPILER, INTERPRETER
from keras_vit.export.processors.trial import ProcessorTrial
from keras_vit.export.runtime.differences import Tally
from keras_vit.export.runtime.runtimes import PlainRuntime
from keras_vit.intervals import percents


class ProcessorRuns:
    """Runs a file on several processors over the batches that `verify` reads.

    A context: leaving it ends the processes.

    Args:
        reference: `Reference` or `AdaptedReference` that answers as the file should.
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
            CompilerRun(target, runtime, *options)
            if target.kind == COMPILER
            else ProcessorRun(target, runtime, reference, *options)
            for target in targets
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for trial in self._trials:
            trial.close()

    def add(self, images, labels, expected):
        """Run one batch; fits `verify_all`'s observe."""
        if not self._trials:
            return
        here = self._reference.complete(expected, self._runtime(images))
        for trial in self._trials:
            trial.add(images, labels, expected, here)

    def results(self):
        """Return name -> `ProcessorTrial`."""
        return {trial.name: trial.result() for trial in self._trials}


class ProcessorRun:
    """Runs one file on one emulated processor; starts at the first batch.

    Args:
        target, runtime, reference, max_points_lost, time_limit, verbose: see
            `ProcessorRuns`.
    """

    def __init__(self, target, runtime, reference, max_points_lost, *options):
        self.name, self._target, self._runtime = target.name, target, runtime
        self._reference, self._points = reference, max_points_lost
        self._options = options
        self._comparison = Comparison(runtime, reference.contract)
        self._native, self._same = Tally(), 0
        self._session, self._there, self._broken = None, None, ""
        self._plain, self._equal = None, 0
        if target.kind == INTERPRETER:
            self._plain = PlainRuntime(runtime.path, signature=runtime.signature)

    def add(self, images, labels, expected, here):
        """Run one batch. here: the answers of this machine's runtime."""
        if self._broken:
            return
        try:
            if self._session is None:
                given = (self._target, self._runtime, *self._options)
                self._session = session.open_session(*given)
                self._there = self._runtime.executed_by(self._session)
            raw = self._there(images)
            got = self._reference.complete(expected, raw)
        except ChildProcessError as err:  # the file breaks there: a verdict
            self._broken = str(err)
            return
        self._comparison.add(expected, got, labels)
        for ours, theirs in zip(here, got, strict=True):
            self._native.add(ours, theirs)
        if self._plain is not None:
            self._count_equal(images, raw)
        rows = self._comparison.task.rows
        ours, theirs = (rows(side[0]) for side in (here, got))
        if ours.ndim == 2:
            self._same += int(np.sum(ours.argmax(axis=1) == theirs.argmax(axis=1)))

    def _count_equal(self, images, raw):
        """Count the answers that equal LiteRT's reference kernels bit for bit."""
        pairs = zip(raw, self._plain(images), strict=True)
        equal = [(a == b).reshape(len(a), -1).all(axis=1) for a, b in pairs]
        self._equal += int(np.all(equal, axis=0).sum())

    def _say_of_interpreter(self, trial):
        """Describe arena size and bit-exact answers, for an interpreter."""
        trial.facts = {**trial.facts, "equal_to_reference_kernels": self._equal}
        trial.told = (
            f"{trial.facts['arena_bytes']:,} bytes of arena, answers of LiteRT's "
            f"reference kernels on {self._equal} of {trial.images}"
        )

    def result(self):
        """Return the `ProcessorTrial` so far."""
        trial, one = ProcessorTrial(self.name, self._target.kind), self._comparison
        if self._session is not None:
            trial.seconds, trial.facts = self._session.seconds, self._session.facts
        if one.images:
            trial.images, trial.top1 = one.images, one.top1
            trial.score = one.task.score
            trial.top1_interval = percents(one.right, one.labelled)
            trial.agreement = one.agreement
            trial.largest_difference = max(tally.largest for tally in one.tallies)
            trial.signal_to_noise_db = min(tally.decibel for tally in one.tallies)
            trial.native_difference = self._native.largest
            trial.native_db = self._native.decibel
            if trial.agreement is not None:
                trial.native_agreement = 100.0 * self._same / one.decisions
            trial.reasons = one.reasons(self._points)
            if self._plain is not None:
                self._say_of_interpreter(trial)
        if self._broken:
            trial.reasons = [*trial.reasons, self._broken]
        return trial

    def close(self):
        """End the process."""
        if self._session is not None:
            self._session.close()


class CompilerRun:
    """Compiles a file for one NPU, once, at the end of the batches.

    Args:
        target, runtime, max_points_lost, time_limit, verbose: see `ProcessorRuns`.
    """

    def __init__(self, target, runtime, max_points_lost, *options):
        self.name, self._target, self._runtime = target.name, target, runtime
        self._options = options

    def add(self, images, labels, expected, here):
        """Do nothing: a compiler needs no images."""

    def result(self):
        """Return the `ProcessorTrial` of compiling the file."""
        return session.compile_for(self._target, self._runtime, *self._options)

    def close(self):
        """Do nothing: no process is left running."""
