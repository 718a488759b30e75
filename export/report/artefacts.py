"""The kinds of file that can be exported: name, format and recipe."""

import dataclasses
import hashlib

from keras_vit.choices import check_choice
from keras_vit.export.formats.onnx.recipes import RECIPES as ONNX_RECIPES
from keras_vit.export.quantization.calibration.saved_ranges import Ranges, is_ranges
from keras_vit.export.quantization.recipe import RANGES, QuantizationRecipe
from keras_vit.export.quantization.recipes import RECIPES as TFLITE_RECIPES

# Of disk space, in sizes of the float32 model, for what a file holds beside weights.
MARGIN = 0.1
# CPU seconds to write a float32 file, as `QuantizationRecipe.seconds`.
FLOAT_SECONDS = (1.32, 0.31)


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One kind of file: a format and a recipe.

    Args:
        name: as `formats` of `export_all` names it.
        kind: "savedmodel", "tflite" or "onnx".
        file: name of the file or folder.
        recipe: `QuantizationRecipe`, None for float32.
    """

    name: str
    kind: str
    file: str
    recipe: QuantizationRecipe | None = None

    @property
    def quantization(self):
        """Name of the recipe, None for float32."""
        return self.recipe and self.recipe.name

    @property
    def calibrated(self):
        """Whether it needs calibration images, or ranges."""
        return self.recipe is not None and self.recipe.calibrated

    @property
    def usual(self):
        """Whether it is made by default."""
        return self.recipe is None or self.recipe.usual

    @property
    def from_ranges(self):
        """Whether saved ranges may replace calibration images."""
        return self.recipe is not None and self.recipe.needs == RANGES

    def cost(self, parameters):
        """CPU seconds of writing it, relative to the others."""
        least, more = FLOAT_SECONDS if self.recipe is None else self.recipe.seconds
        return least + more * parameters / 1e6

    @property
    def share(self):
        """Estimated disk space while it is made, in sizes of the float32 model."""
        return MARGIN + (1.0 if self.recipe is None else self.recipe.size_share)


def _family(file_format, recipes):
    """Artefacts of one format: float32 first, then each recipe."""
    rounded = [
        Artefact(
            f"{file_format}_{name}", file_format, f"model_{name}.{file_format}", recipe
        )
        for name, recipe in recipes.items()
    ]
    return [Artefact(file_format, file_format, f"model.{file_format}"), *rounded]


ARTEFACTS = {
    artefact.name: artefact
    for artefact in (
        Artefact("savedmodel", "savedmodel", "saved_model"),
        *_family("tflite", TFLITE_RECIPES),
        *_family("onnx", ONNX_RECIPES),
    )
}


def chosen(formats, calibration):
    """Choose the artefacts to make, float32 before those made from it.

    Args:
        formats: names; "all"; or None for the usual ones that the images allow.
        calibration: images, ranges or the path of either; or None.

    Returns:
        list of `Artefact`.

    Raises:
        ValueError: for a name that is not known, none at all, or one that needs
            calibration images when there are none.
    """
    ranges = is_ranges(calibration)

    def lacks_images(artefact):
        served = calibration is not None and (artefact.from_ranges or not ranges)
        return artefact.calibrated and not served

    if formats is None:
        return [a for a in ARTEFACTS.values() if a.usual and not lacks_images(a)]
    names = list(ARTEFACTS) if formats == "all" else list(formats)
    for name in names:
        check_choice("formats", name, tuple(ARTEFACTS))
    if not names:
        raise ValueError(
            "formats: must name at least one, got none. Leave it out for all."
        )
    artefacts = [a for a in ARTEFACTS.values() if a.name in names]
    needing = [a.name for a in artefacts if lacks_images(a)]
    if needing:
        raise ValueError(
            f"calibration: images must be given for {', '.join(needing)}, got "
            f"{'ranges' if ranges else None}. Pass 32 to 128 training images, or leave "
            "these formats out."
        )
    return artefacts


class Fingerprint:
    """Number of images and a hash of their values, to identify a data set."""

    def __init__(self):
        self._hash, self._count, self._labelled = hashlib.sha256(), 0, False

    def add(self, images, labels=None, outputs=None):
        """Add one batch; fits `verify_all`'s observe."""
        self._hash.update(images.astype("<f4").tobytes())
        self._count += len(images)
        self._labelled = self._labelled or labels is not None

    def to_dict(self):
        """Plain values: {"images", "sha256", "labelled"}."""
        return {
            "images": self._count,
            "sha256": self._hash.hexdigest(),
            "labelled": self._labelled,
        }


def fingerprint(images):
    """`Fingerprint` of an array or of `Ranges` as plain values; None for None."""
    if images is None:
        return None
    if isinstance(images, Ranges):
        digest = hashlib.sha256(images.to_json().encode()).hexdigest()
        return {"ranges_of": images.images, "sha256": digest}
    made = Fingerprint()
    made.add(images)
    return made.to_dict()
