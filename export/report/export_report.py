"""The result of `export_all`."""

import dataclasses
import math
import pathlib
from typing import Any

from keras_vit.export.comparison.verification import Verification
from keras_vit.export.io.io_spec import Contract
from keras_vit.export.processors.targets import TARGETS
from keras_vit.export.processors.trial import NOT_TRIED, columns
from keras_vit.export.report.advice import Advice, advise, app_command, is_ready
from keras_vit.preprocess import Preprocessing
from keras_vit.tasks import CLASSIFICATION

FOR_AN_APP = "for an app, with pixels in and class names out"


@dataclasses.dataclass
class ExportReport:
    """Result of `export_all`: files, verifications, advice.

    Attributes:
        directory: where everything lies.
        artefacts: one `keras_vit.export.Verification` per file.
        failures: {file name: why it could not be made}.
        model: name, parameters, sizes. labels: class names, or None.
        contract, preprocessing: of the model.
        history: training curves, name -> list. history_from: path of their file, or
            None for what was handed over.
        pictures: test images with what the model said.
        calibration, validation: {"images", "sha256", "labelled"} of what was used.
        versions, machine: of packages and hardware.
        created: local time, ISO 8601.
        model_file: where the model lies, or None where nobody said.
    """

    directory: pathlib.Path
    artefacts: list[Verification]
    failures: dict
    model: dict
    labels: list | None
    contract: Contract
    preprocessing: Preprocessing | None
    history: dict
    pictures: list
    calibration: dict | None
    validation: dict
    versions: dict
    machine: dict
    created: str
    history_from: str | None = None
    model_file: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every file was made and passed."""
        return not self.failures and all(a.passed for a in self.artefacts)

    @property
    def complete(self) -> bool:
        """Whether no verification lacks labels or images."""
        return not any(a.lost for a in self.artefacts)

    @property
    def score(self) -> str:
        """Name of the share of correct predictions, "top-1" of a classifier."""
        return self.artefacts[0].score if self.artefacts else CLASSIFICATION.score

    @property
    def html(self) -> pathlib.Path:
        """Path of the HTML report."""
        return self.directory / "report.html"

    @property
    def card(self) -> pathlib.Path:
        """Path of the model card."""
        return self.directory / "MODEL_CARD.md"

    @property
    def advice(self) -> list[Advice]:
        """Which file to ship: list of `keras_vit.export.report.advice.Advice`."""
        return advise(self.artefacts)

    def verb(self, artefact: Verification) -> str:
        """What to do with an advised file: "ship", or "start from"."""
        return "ship" if is_ready(artefact, self.labels) else "best is"

    @property
    def app_command(self) -> str:
        """The command that makes an app's file of the advised one, or ""."""
        if any(is_ready(a.artefact, self.labels) for a in self.advice):
            return ""
        return app_command(self.advice, self.contract, self.labels, self.model_file)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        preprocessing = self.preprocessing
        return {
            "created": self.created,
            "passed": self.passed and self.complete,
            "model": self.model,
            "labels": self.labels,
            "preprocessing": None
            if preprocessing is None
            else preprocessing.get_config(),
            "preprocessing_found": self.contract.found,
            "advice": [advice.to_dict() for advice in self.advice],
            "app_command": self.app_command,
            "artefacts": [
                {**a.to_dict(), "path": a.path.name, "kept": a.passed}
                for a in self.artefacts
            ],
            "failures": self.failures,
            "processors": {
                name: "tried" if name in self.processors else NOT_TRIED
                for name in TARGETS
            },
            "calibration": self.calibration,
            "validation": self.validation,
            "history": {
                name: [v if math.isfinite(v) else None for v in values]
                for name, values in self.history.items()
            },
            "history_from": self.history_from,
            "versions": self.versions,
            "machine": self.machine,
        }

    def __str__(self):
        lines = [str(a) for a in self.artefacts]
        return "\n".join([*lines, self.elsewhere, self.last_words])

    @property
    def processors(self) -> list[str]:
        """Names of the other processors that files were run on."""
        return columns(a.processors for a in self.artefacts)

    @property
    def elsewhere(self) -> str:
        """Processors that were not run, in words."""
        rest = [name for name in TARGETS if name not in self.processors]
        return f"{NOT_TRIED} on {', '.join(rest)}" if rest else "tried everywhere"

    @property
    def last_words(self) -> str:
        """Failures, the file to ship, and the path of the report: a line each."""
        failed = [f"{name}: FAILED: {why}" for name, why in self.failures.items()]
        ship = [
            f"{a.use}: {self.verb(a.artefact)} {a.artefact.path.name}. {a.caution}"
            for a in self.advice
        ]
        if self.app_command:
            ship.append(f"{FOR_AN_APP}: {self.app_command}")
        return "\n".join([*failed, *map(str.strip, ship), f"report: {self.html}"])
