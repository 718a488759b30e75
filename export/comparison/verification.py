"""The result of verifying one file: accuracy, differences, reasons, verdict."""

import dataclasses
import math
import pathlib
from typing import Any

from keras_vit.export.inspection.layers import LayerReport
from keras_vit.export.processors.targets import TARGETS
from keras_vit.export.processors.trial import NOT_TRIED
from keras_vit.export.runtime.differences import decibels, differs
from keras_vit.intervals import Change, shown


@dataclasses.dataclass
class Verification:
    """Result of verifying one file: how close it is to the Keras model.

    Attributes:
        path, format, size_bytes: of the file.
        precision: "float32", "float16", "int8" or "int4", of its weights.
        inputs, outputs: lists of `keras_vit.export.io.io_spec.TensorSpec`.
        inspection: what stands in the file, see `inspection.summary.inspect`.
        images: how many were compared.
        largest_difference, mean_difference: absolute, over all outputs.
        signal_to_noise_db: 10 log10(sum y^2 / sum (y' - y)^2), of the worst output;
            inf where all outputs are identical, as `identical` says.
        outputs_db: the same per output; None where they are identical.
        top1_keras, top1: percent of the images, or None without labels.
        top1_keras_interval, top1_interval: of them, 95%, see `intervals.wilson`.
        change: `intervals.Change` of top-1 from Keras to the file, or None.
        top5_keras, top5: percent with the class among the best five, or None.
        agreement: percent of images where both choose the same class, or None
            for features.
        confusions: the most frequent disagreements, {"keras", "file", "count"}.
        milliseconds_keras, milliseconds: processor time for one image, median.
        time_ratio: the second over the first; 0.5 is twice as fast.
        operators: name -> how often it stands in the file.
        reasons: why it failed; empty when it passed.
        notes: sentences on images that were left out, and on what was decided.
        lost: those of them on labels and images that the proof lacks.
        score: what top1 is called, see `keras_vit.tasks.OutputTask`.
        where: the largest difference, in words.
        compared: what, where the file takes or gives something else than the model.
        layers: `inspection.layers.LayerReport`, if asked.
        half: the largest activation beside what 16-bit floats hold, if asked.
        processors: name -> `ProcessorTrial`, of those asked for.
    """

    path: pathlib.Path
    format: str
    size_bytes: int
    precision: str
    inputs: list
    outputs: list
    operators: dict
    inspection: dict | None = None
    images: int = 0
    largest_difference: float = 0.0
    mean_difference: float = 0.0
    signal_to_noise_db: float = math.inf
    outputs_db: dict = dataclasses.field(default_factory=dict)
    top1_keras: float | None = None
    top1: float | None = None
    top1_keras_interval: tuple | None = None
    top1_interval: tuple | None = None
    change: Change | None = None
    top5_keras: float | None = None
    top5: float | None = None
    agreement: float | None = None
    confusions: list = dataclasses.field(default_factory=list)
    milliseconds_keras: float | None = None
    milliseconds: float | None = None
    time_ratio: float | None = None
    where: str = ""
    compared: str = ""
    layers: LayerReport | None = None
    half: dict | None = None
    processors: dict = dataclasses.field(default_factory=dict)
    reasons: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)
    lost: list = dataclasses.field(default_factory=list)
    score: str = "top-1"

    @property
    def passed(self) -> bool:
        """Whether no limit was exceeded; see `verdict` too."""
        return not self.reasons

    @property
    def identical(self) -> bool:
        """Whether every output equals the Keras model's bit for bit."""
        return self.largest_difference == 0.0

    @property
    def top1_text(self) -> str:
        """Top-1 with its 95% interval in words; "" without labels."""
        if self.top1 is None:
            return ""
        return f"{self.score} {self.top1:.2f}% ({shown(self.top1_interval)})"

    @property
    def noise_text(self) -> str:
        """Signal-to-noise ratio in words."""
        return decibels(self.signal_to_noise_db)

    @property
    def verdict(self) -> str:
        """Whether the file passed or failed, and why, in words.

        A file that does not fail, on less than was asked for, is not called passed.
        """
        if self.reasons:
            return "FAILED: " + "; ".join(self.reasons)
        if self.lost:
            return "did not fail, in an incomplete proof: " + "; ".join(self.lost)
        return "passed"

    def judge(self, trials: dict[str, Any]) -> None:
        """Add the trials on other processors; a failure there fails the file.

        Args:
            trials: name -> `ProcessorTrial`.
        """
        self.processors = trials
        for name, trial in trials.items():
            self.reasons += [f"on {name}: {reason}" for reason in trial.reasons]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; infinity becomes None, which "identical" explains."""
        noise = self.signal_to_noise_db
        return {
            **dataclasses.asdict(self),
            "path": str(self.path),
            "signal_to_noise_db": noise if math.isfinite(noise) else None,
            "identical": self.identical,
            "outputs_db": {
                name: value if value is not None and math.isfinite(value) else None
                for name, value in self.outputs_db.items()
            },
            "change": None if self.change is None else self.change.to_dict(),
            "processors": {
                name: self.processors[name].to_dict()
                if name in self.processors
                else NOT_TRIED
                for name in TARGETS
            },
            "layers": None if self.layers is None else self.layers.to_dict(),
            "passed": self.verdict == "passed",
            "verdict": self.verdict,
        }

    def __str__(self):
        parts = [f"{self.format} {self.precision}, {self.size_bytes / 1e6:.2f} MB"]
        parts.append(differs(self.largest_difference))
        if self.compared:
            parts.append(f"compared: {self.compared}")
        if self.top1 is not None:
            keras = f"{self.top1_keras:.2f}% ({shown(self.top1_keras_interval)})"
            parts += [f"{self.top1_text}, Keras {keras}", self.change.against("Keras")]
        if self.agreement is not None:
            parts.append(f"agreement {self.agreement:.2f}%")
        parts.append(f"{self.time_ratio:.2f}x the time of Keras")
        parts += [f"{name} {trial.cell}" for name, trial in self.processors.items()]
        return f"{self.path}: {', '.join(parts)}: {self.verdict}"
