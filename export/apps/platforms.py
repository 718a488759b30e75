"""The platforms that apps run on, and the file format and recipe of each."""

import dataclasses

from keras_vit.choices import check_choice
from keras_vit.export.io.labels import LABELS
from keras_vit.export.quantization.recipe import AUTO, names
from keras_vit.export.quantization.recipes import RECIPES

FLOAT32 = "float32"
MEDIAPIPE = "MediaPipe resizes images of other sizes itself, in its own way"


@dataclasses.dataclass(frozen=True)
class Platform:
    """One platform: its file format, recipes, MediaPipe package and remarks.

    Args:
        name: as `export_for` takes it.
        kind: "tflite" or "savedmodel". file: name of the file or folder.
        recipe: that it gets when nobody says which; None for float32.
        why: that recipe, in a few words.
        sizes: what becomes of images of other sizes than the file's.
        snippet: name of the file with the code. ship: how file and code are used.
        mediapipe: whether the code is for MediaPipe's ImageClassifier.
    """

    name: str
    kind: str
    file: str
    recipe: str | None
    why: str
    sizes: str
    snippet: str
    ship: str
    mediapipe: bool = False

    @property
    def names(self):
        """Of all files that come into an app's folder."""
        return [self.file, self.snippet, LABELS]

    @property
    def recipes(self):
        """What may be asked for in the place of `recipe`."""
        if self.kind == "savedmodel":
            return (FLOAT32,)
        if self.name == "microcontroller":
            return (self.recipe,)
        return (FLOAT32, *RECIPES, AUTO)


_PHONE = "8-bit weights, which need no calibration: what phone processors start with"
_SWIFT = "drag it into the app's target, add the pod MediaPipeTasksVision and"
PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform(
            "android",
            "tflite",
            "model.tflite",
            "dynamic_int8",
            _PHONE,
            MEDIAPIPE,
            "Classify.kt",
            "put it into src/main/assets, add com.google.mediapipe:tasks-vision and",
            mediapipe=True,
        ),
        Platform(
            "ios",
            "tflite",
            "model.tflite",
            "dynamic_int8",
            _PHONE,
            MEDIAPIPE,
            "Classify.swift",
            _SWIFT,
            mediapipe=True,
        ),
        Platform(
            "web",
            "tflite",
            "model.tflite",
            "dynamic_int8",
            "8-bit weights, which need no calibration: a quarter of the download",
            MEDIAPIPE,
            "classify.js",
            "serve it beside the page, install @mediapipe/tasks-vision and",
            mediapipe=True,
        ),
        Platform(
            "microcontroller",
            "tflite",
            "model.tflite",
            "full_int8",
            "integers throughout, the only recipe that tflite-micro runs on chips "
            "without floats",
            "crop and resize before: the file takes exactly this size",
            "classify.cc",
            "turn it into an array as the first lines of the code say, build it with "
            "tflite-micro and",
        ),
        Platform(
            "server",
            "savedmodel",
            "saved_model",
            None,
            "float32, for TensorFlow Serving or TensorFlow in Python",
            "files of any size are turned upright, resized and cropped inside",
            "classify.py",
            "install tensorflow, or give TensorFlow Serving the folder, and",
        ),
    )
}


def settle(target, quantization=None, calibration=None, validation=None, trained=None):
    """Check target, recipe and images together, before any slow step.

    Args:
        target: name of a platform. quantization: recipe, "float32", "auto" or None.
        calibration, validation: as in `export_for`; looked at for being there.
        trained: recipe of a quantization-aware model, which says itself whether it
            needs images; None for any other.

    Returns:
        (`Platform`, recipe as the exporters take it).

    Raises:
        ValueError: for an unknown name, a recipe that does not run there, or images
            that are missing or mean nothing.
    """
    check_choice("target", target, tuple(PLATFORMS))
    platform = PLATFORMS[target]
    recipe = quantization or trained or platform.recipe or FLOAT32
    if recipe not in platform.recipes:
        _refuse(platform, recipe)
    wanting = names(RECIPES, lambda row: row.calibrated)
    if recipe in wanting and calibration is None and trained is None:
        raise ValueError(
            f"calibration: must be given for target={target!r} with {recipe}, whose "
            "ranges are read off images, got None. Pass 32 to 128 training images, or "
            "their folder."
        )
    if calibration is not None and recipe not in (*wanting, AUTO):
        raise ValueError(
            f"calibration: is not used for target={target!r} with {recipe}, which "
            "needs no images. Leave it out."
        )
    if recipe == AUTO and validation is None:
        raise ValueError(
            "validation: must be given with quantization='auto', got None. Pass images "
            "to judge recipes by."
        )
    return platform, None if recipe == FLOAT32 else recipe


def _refuse(platform, recipe):
    """Raise the error for a recipe that a platform does not support."""
    if len(platform.recipes) > 1:
        check_choice("quantization", recipe, platform.recipes)
    why = "TensorFlow computes in floats, and an .onnx file on its own may be smaller"
    if platform.kind == "tflite":
        why = "tflite-micro runs no other of our files on chips without floats"
    raise ValueError(
        f"quantization: must be {platform.recipes[0]!r} for target={platform.name!r}, "
        f"got {recipe!r}: {why}. Leave it out."
    )
