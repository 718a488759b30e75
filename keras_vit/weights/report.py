"""Report on every array of a loaded checkpoint, and description of a file."""

import dataclasses


@dataclasses.dataclass
class LoadingReport:
    """Every array of file and model: loaded, resized, skipped or missing.

    Attributes:
        path: of the file.
        format: of the file, such as "npz".
        family: whose names it uses, such as "google".
        loaded: weight path -> names in the file.
        resized: weight path -> what was done.
        fresh: weight path -> why it keeps its initial value.
        skipped: name in the file -> why it was not used.
        notes: sentences on what the file did not say.
    """

    path: str
    format: str
    family: str
    loaded: dict
    resized: dict
    fresh: dict
    skipped: dict
    notes: list

    @property
    def clean(self):
        """Whether everything was loaded without change."""
        return not (self.resized or self.fresh or self.skipped or self.notes)

    def to_dict(self):
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def __str__(self):
        lines = [f"{self.path}: {self.family} weights ({self.format})"]
        lines.append(f"  loaded: {len(self.loaded)} weights")
        for title, names in (
            ("resized", self.resized),
            ("re-initialised", self.fresh),
            ("skipped in the file", self.skipped),
        ):
            if names:
                lines.append(f"  {title}: {len(names)}")
                lines += [f"    {reason}" for reason in grouped(names)]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def grouped(reason_of, limit=3):
    """Format lines "name, name and 7 more: reason", one per reason."""
    reasons = {}
    for name, reason in reason_of.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - limit} more" if len(names) > limit else ""
        yield f"{', '.join(names[:limit])}{more}: {reason}"


@dataclasses.dataclass
class Description:
    """Description of a file, from its header.

    Attributes:
        path, format, family: as in `LoadingReport`.
        architecture: fields of `keras_vit.models.Architecture` that the file
            tells; empty for families without a model.
        arrays: number of arrays.
        values: number of values in them, which is the number of parameters when
            nothing is left out.
        left_out: name -> why it is no part of the model.
        notes: sentences.
    """

    path: str
    format: str
    family: str
    architecture: dict
    arrays: int
    values: int
    left_out: dict
    notes: list

    def to_dict(self):
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def __str__(self):
        lines = [
            f"{'file':18} {self.path}",
            f"{'format':18} {self.format}",
            f"{'family':18} {self.family}",
            f"{'arrays':18} {self.arrays}",
            f"{'values':18} {self.values:,}",
        ]
        for key, value in self.architecture.items():
            value = f"{len(value)} names" if key == "labels" and value else value
            lines.append(f"{key:18} {value}")
        lines += [f"{'left out':18} {line}" for line in grouped(self.left_out)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
