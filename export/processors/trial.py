"""Result of running one file on one processor."""

import dataclasses
import math

from keras_vit.export.runtime.differences import decibels
from keras_vit.intervals import shown

NOT_TRIED = "not tried"


@dataclasses.dataclass
class ProcessorTrial:
    """Accuracy and differences of a file on one processor.

    Attributes:
        processor: its name. kind: as in `targets.Target`.
        images: how many were compared.
        largest_difference, signal_to_noise_db: to the Keras model.
        top1: percent of the images, or None without labels.
        top1_interval: of it, 95%, see `keras_vit.intervals.wilson`.
        agreement: percent of images with the class that Keras chooses, or None.
        native_difference, native_db: to the same file on this machine; inf dB where
            they are identical.
        native_agreement: percent of images with the same class as on this machine.
        seconds: that it took, start included. An emulator's say nothing about speed.
        facts: what the other side said of itself: machine, features, versions.
        told: the tool's own verdict, where it gives one.
        reasons: why it failed; empty when it passed.
        untried: why it was not tried; "" when it was.
        score: what top1 is called, see `keras_vit.tasks.OutputTask`.
    """

    processor: str
    kind: str
    images: int = 0
    largest_difference: float | None = None
    signal_to_noise_db: float | None = None
    top1: float | None = None
    top1_interval: tuple | None = None
    agreement: float | None = None
    native_difference: float | None = None
    native_db: float | None = None
    native_agreement: float | None = None
    seconds: float = 0.0
    facts: dict = dataclasses.field(default_factory=dict)
    told: str = ""
    reasons: list = dataclasses.field(default_factory=list)
    untried: str = ""
    score: str = "top-1"

    @property
    def passed(self):
        """Whether it was run and no limit was exceeded."""
        return not self.reasons and not self.untried

    @property
    def cell(self):
        """A few words, for a table."""
        if self.untried:
            return NOT_TRIED
        if self.reasons:
            return "FAILED"
        if not self.images:
            return self.told or "passed"
        if self.native_agreement is None:
            if self.native_difference == 0.0:
                return "identical"
            return f"{self.native_difference:.1e}"
        return f"{self.native_agreement:.4g}% as here"

    def to_dict(self):
        """Plain values, for JSON; infinity, of identical outputs, becomes None."""
        values = dataclasses.asdict(self)
        for name in ("signal_to_noise_db", "native_db"):
            if values[name] is not None and not math.isfinite(values[name]):
                values[name] = None
        return {**values, "passed": self.passed}

    def __str__(self):
        if self.untried:
            return f"{self.processor}: {NOT_TRIED}: {self.untried}"
        parts = [self.told] if self.told else []
        if self.images:
            parts += self._figures()
        verdict = "FAILED: " + "; ".join(self.reasons) if self.reasons else "passed"
        return f"{self.processor}: {', '.join([*parts, verdict])}"

    def _figures(self):
        parts = [f"{self.images} images"]
        if self.native_agreement is not None:
            parts.append(f"same class as here on {self.native_agreement:.2f}%")
        if self.native_difference == 0.0:
            parts.append("outputs identical to those here")
        else:
            noise = f"{self.native_difference:.2g}, {decibels(self.native_db)}"
            parts.append(f"differs from here by {noise}")
        parts.append(f"from Keras by {self.largest_difference:.2g}")
        if self.top1 is not None:
            parts.append(f"{self.score} {self.top1:.2f}% ({shown(self.top1_interval)})")
        return [*parts, f"{self.seconds:.0f} s"]


def columns(trials):
    """Names of the processors that any of several files was run on.

    Args:
        trials: list of {name: `ProcessorTrial`}, one per file.
    """
    return list(dict.fromkeys(name for found in trials for name in found))


def cell(trials, name):
    """Table cell of a file and a processor.

    Args:
        trials: {name: `ProcessorTrial`} of the file. name: of the processor.
    """
    return trials[name].cell if name in trials else NOT_TRIED
