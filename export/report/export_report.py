"""What `export_all` made and found out, as one object."""

import dataclasses
import math
import pathlib

from keras_vit.export.processors.targets import TARGETS
from keras_vit.export.processors.trial import NOT_TRIED, columns
from keras_vit.export.report.advice import advise, app_command, is_ready
from keras_vit.tasks import CLASSIFICATION

FOR_AN_APP = "for an app, with pixels in and class names out"


@dataclasses.dataclass
class ExportReport:
    """What `export_all` made and found out.

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
    artefacts: list
    failures: dict
    model: dict
    labels: list | None
    contract: object
    preprocessing: object
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
    def passed(self):
        """Whether every file was made and passed."""
        return not self.failures and all(a.passed for a in self.artefacts)

    @property
    def complete(self):
        """Whether no proof lacks labels or images that somebody may count on."""
        return not any(a.lost for a in self.artefacts)

    @property
    def score(self):
        """What the share of right decisions is called, "top-1" of a classifier."""
        return self.artefacts[0].score if self.artefacts else CLASSIFICATION.score

    @property
    def html(self):
        """Path of the page."""
        return self.directory / "report.html"

    @property
    def card(self):
        """Path of the model card."""
        return self.directory / "MODEL_CARD.md"

    @property
    def advice(self):
        """Which file to ship: list of `keras_vit.export.report.advice.Advice`."""
        return advise(self.artefacts)

    def verb(self, artefact):
        """What to do with an advised file: "ship" what an app can use as it is."""
        return "ship" if is_ready(artefact, self.labels) else "best is"

    @property
    def app_command(self):
        """What makes the advised file one for an app; "" where one is there."""
        if any(is_ready(a.artefact, self.labels) for a in self.advice):
            return ""
        return app_command(self.advice, self.contract, self.labels, self.model_file)

    def to_dict(self):
        """Plain values, for JSON."""
        note = self.preprocessing
        return {
            "created": self.created,
            "passed": self.passed and self.complete,
            "model": self.model,
            "labels": self.labels,
            "preprocessing": None if note is None else note.get_config(),
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
    def processors(self):
        """Names of the processors that files were tried on, beside this machine's."""
        return columns(a.processors for a in self.artefacts)

    @property
    def elsewhere(self):
        """Which processors were not tried, in words."""
        rest = [name for name in TARGETS if name not in self.processors]
        return f"{NOT_TRIED} on {', '.join(rest)}" if rest else "tried everywhere"

    @property
    def last_words(self):
        """What failed, which file to ship, where the report lies: a line each."""
        failed = [f"{name}: FAILED: {why}" for name, why in self.failures.items()]
        ship = [
            f"{a.use}: {self.verb(a.artefact)} {a.artefact.path.name}. {a.caution}"
            for a in self.advice
        ]
        if self.app_command:
            ship.append(f"{FOR_AN_APP}: {self.app_command}")
        return "\n".join([*failed, *map(str.strip, ship), f"report: {self.html}"])
