"""Every file that can be made of a model: its name, format and recipe."""

import dataclasses
import hashlib

from keras_vit.choices import check_choice
from keras_vit.export.formats.onnx.quantize import RECIPES as ONNX_RECIPES
from keras_vit.export.formats.onnx.quantize import STATIC
from keras_vit.export.quantization.calibration.saved_ranges import Ranges, is_ranges
from keras_vit.export.quantization.recipes import (
    CALIBRATED,
    FROM_RANGES,
    INTEGER,
    RECIPES,
)

# Size of a file by the float32 weights, roughly, for the disk space to ask for.
SHARES = {None: 1.05, "float16": 0.55}
# CPU seconds of writing, (at least, per million parameters): means over the formats, of
# a model of 0.3 million and a Ti/16, with 64 and 32 calibration images (EPYC, Zen 4).
COSTS = {
    None: (1.32, 0.31),
    "float16": (0.09, 0.04),
    "dynamic_int8": (0.26, 0.17),
    "static_int8": (0.37, 0.29),
    **dict.fromkeys(("int4", "int4_blockwise"), (3.4, 14.3)),
}
OTHERS = (0.29, 0.40)


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One kind of file.

    Args:
        name: as `formats` of `export_all` names it.
        kind: "savedmodel", "tflite" or "onnx".
        file: name of the file or folder.
        quantization: recipe, None for float32.
        calibrated: whether it needs calibration images.
        usual: whether it is made when nobody says which.
    """

    name: str
    kind: str
    file: str
    quantization: str | None = None
    calibrated: bool = False
    usual: bool = True

    @property
    def from_ranges(self):
        """Whether saved ranges are as good as calibration images."""
        return self.kind == "tflite" and self.quantization in FROM_RANGES

    def cost(self, parameters):
        """What writing it takes, to be compared with that of others."""
        least, more = COSTS.get(self.quantization, OTHERS)
        return least + more * parameters / 1e6

    @property
    def share(self):
        """Size on disk while it is made, in sizes of the float32 model."""
        return SHARES.get(self.quantization, 0.35)


def _family(kind, recipes, calibrated, unusual):
    """float32 first, then each recipe; names start with the kind."""
    made = [Artefact(kind, kind, f"model.{kind}")]
    for recipe in recipes:
        made.append(
            Artefact(
                name=f"{kind}_{recipe}",
                kind=kind,
                file=f"model_{recipe}.{kind}",
                quantization=recipe,
                calibrated=recipe in calibrated,
                usual=recipe not in unusual,
            )
        )
    return made


# Slow on processors: files in integers throughout, scales per block of weights, and
# 16-bit floats in onnxruntime.
UNUSUAL = (*INTEGER, "int4_blockwise")
ARTEFACTS = {
    artefact.name: artefact
    for artefact in (
        Artefact("savedmodel", "savedmodel", "saved_model"),
        *_family("tflite", (*RECIPES, *CALIBRATED), CALIBRATED, UNUSUAL),
        *_family("onnx", ONNX_RECIPES, STATIC, ("float16",)),
    )
}


def chosen(formats, calibration):
    """The artefacts to make, float32 before what is made from it.

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
        raise ValueError("formats: must name at least one. Leave it out for all.")
    made = [a for a in ARTEFACTS.values() if a.name in names]
    needing = [a.name for a in made if lacks_images(a)]
    if needing:
        raise ValueError(
            f"calibration: images must be given for {', '.join(needing)}, got "
            f"{'ranges' if ranges else None}. Pass 32 to 128 training images, or leave "
            "these formats out."
        )
    return made


class Fingerprint:
    """What images a figure comes from: how many, and a hash of their values."""

    def __init__(self):
        self._hash, self._count, self._labelled = hashlib.sha256(), 0, False

    def add(self, images, labels=None, outputs=None):
        """Count in one batch; fits `verify_all`'s observe."""
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
    """`Fingerprint` of an array, or of `Ranges`, as plain values; None for None."""
    if images is None:
        return None
    if isinstance(images, Ranges):
        digest = hashlib.sha256(images.to_json().encode()).hexdigest()
        return {"ranges_of": images.images, "sha256": digest}
    made = Fingerprint()
    made.add(images)
    return made.to_dict()
