"""The record of one published checkpoint."""

import re
from typing import NamedTuple


class Checkpoint(NamedTuple):
    """One row of the catalogue.

    Attributes:
        variant: function that builds the model, such as "ViT_B16".
        tag: what it was trained on, such as "augreg_in21k_ft_in1k".
        image_size: px, square.
        classes: units of the head; 0 without.
        files: URLs; the first holds the weights.
        preparation: a key of `catalog.PREPARATIONS`.
        score: published ImageNet top-1 in percent, or None.
        source: where the score is published.
        licence: of the weights.
        options: keywords of `from_checkpoint`, as (name, value) pairs.
    """

    variant: str
    tag: str
    image_size: int
    classes: int
    files: tuple
    preparation: str
    score: float | None
    source: str
    licence: str
    options: tuple = ()

    @property
    def name(self):
        """What `from_checkpoint` takes."""
        return f"{self.variant}.{self.tag}_{self.image_size}"

    @property
    def url(self):
        """Where the weights are."""
        return self.files[0]

    @property
    def hash_start(self):
        """First digits of the SHA-256 where PyTorch's naming gives them, or None."""
        found = re.search(r"-([0-9a-f]{8})\.pth$", self.url)
        return found[1] if found else None
