"""Verification of all files of an export on other processors, one after the other."""

from keras_vit.export.comparison.on_processors import ProcessorRuns
from keras_vit.export.processors import session
from keras_vit.export.processors.targets import chosen
from keras_vit.export.processors.trial import ProcessorTrial
from keras_vit.export.runtime.console import say

IMAGES = 32  # emulation is slow


class ProcessorJudge:
    """Runs every file of an export on emulated processors and compilers.

    Args:
        names: one, a list, or None. max_points_lost: as in `verify`.
        time_limit: seconds for one file on one processor. verbose: 0 for silence.

    Attributes:
        images: how many of the first ones are run.

    Raises:
        OSError, ValueError: as `session.ready`.
    """

    images = IMAGES

    def __init__(self, names, max_points_lost, time_limit, verbose):
        session.check_limit(time_limit)
        self._targets = chosen(names)
        for target in self._targets:
            session.check(target, target.formats[0])
        self._options = (max_points_lost, time_limit, verbose)

    def judge(self, reference, runtimes, verifications, first):
        """Store the processor trials of each file in its verification.

        Args:
            reference: `Reference`. runtimes: of the files here.
            verifications: their `Verification`s, changed in place.
            first: `FirstImages`.
        """
        if not self._targets:
            return
        images, labels = first.images(), first.labels()
        batch = (images, labels, reference.finite_answers(images))
        for runtime, one in zip(runtimes, verifications, strict=True):
            trials = [self._try(t, reference, runtime, batch) for t in self._targets]
            one.judge({trial.processor: trial for trial in trials})

    def _try(self, target, reference, runtime, batch):
        """Run one file on one processor: `ProcessorTrial`."""
        if runtime.format not in target.formats:
            takes = " and ".join(target.formats)
            return ProcessorTrial(
                target.name, target.kind, untried=f"takes {takes} files"
            )
        try:
            with ProcessorRuns(reference, runtime, [target], *self._options) as trials:
                trials.add(*batch)
                (trial,) = trials.results().values()
        except TimeoutError as err:
            trial = ProcessorTrial(target.name, target.kind, untried=str(err))
        say(f"{runtime.path.name} on {trial}", self._options[-1])
        return trial
