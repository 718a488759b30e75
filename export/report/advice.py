"""Advice on which exported file to ship, from accuracy, size and latency."""

import dataclasses
import shlex
from typing import Any

from keras_vit.export.apps.platforms import FLOAT32, PLATFORMS
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.report.artefacts import ARTEFACTS

# Points of top-1 (of agreement without labels) that a file may lose to be advised.
TOLERANCE = 0.5
# What weights are stored in when nothing is rounded to integers.
FLOATS = ("float32", "float16")

# Where a file runs that is advised for a use.
PLATFORM_OF = {
    "Phone, processor": "android",
    "Phone, GPU": "android",
    "Chip without floats": "microcontroller",
    "TensorFlow Serving": "server",
}
UNSAID = "MODEL.keras"


@dataclasses.dataclass(frozen=True)
class Advice:
    """The advised file for one use, with the reason.

    Args:
        use: where the file shall run.
        artefact: `keras_vit.export.Verification` of the file.
        why: a sentence with the figures that speak for it.
        caution: what to mind, or "".
    """

    use: str
    artefact: Any
    why: str
    caution: str = ""

    def to_dict(self):
        """Plain values, for JSON."""
        return {
            "use": self.use,
            "file": self.artefact.path.name,
            "why": self.why,
            "caution": self.caution,
        }


def lost(artefact):
    """Points of top-1 that a file loses; of agreement without labels; or None."""
    if artefact.top1 is not None:
        return artefact.top1_keras - artefact.top1
    return None if artefact.agreement is None else 100.0 - artefact.agreement


def good_enough(artefact):
    """Whether a file passed and loses at most half a point, or one image."""
    grain = 100.0 / max(artefact.images, 1) + 1e-9
    return artefact.passed and (lost(artefact) or 0.0) <= max(TOLERANCE, grain)


def is_integer(artefact):
    """Whether nearly all multiplications of a file are in integers."""
    found = artefact.inspection
    return bool(found) and found["compute"]["integer"] > 0.99


def advise(artefacts):
    """Choose the best file for every use, phones first.

    Best is the smallest product of size and time among the files that lose at most
    half a point; when none does, the one that loses least.

    Args:
        artefacts: list of `keras_vit.export.Verification`.

    Returns:
        list of `Advice`.
    """
    passed = [a for a in artefacts if a.passed]
    tflite = [a for a in passed if a.format == "tflite"]
    floats = [a for a in tflite if not is_integer(a)]
    gpu = [a for a in tflite if a.precision in FLOATS and not _refused(a, "gpu")]
    chips = [a for a in tflite if is_integer(a)]
    servers = [a for a in passed if a.format == "onnx"]
    saved = [a for a in passed if a.format == "savedmodel"]
    groups = (
        ("Phone, processor", floats),
        ("Phone, GPU", gpu),
        ("Chip without floats", chips),
        ("Server, onnxruntime", servers),
        ("TensorFlow Serving", saved),
    )
    return [_advice(use, group, artefacts) for use, group in groups if group]


def _refused(artefact, target):
    return artefact.inspection is None or artefact.inspection[target]["refused"]


def _advice(use, group, artefacts):
    good = [a for a in group if good_enough(a)]
    key = (lambda a: a.size_bytes) if use == "Phone, GPU" else _cost
    best = min(good, key=key) if good else min(group, key=lambda a: lost(a) or 0.0)
    caution = "" if good else f"Loses more than {TOLERANCE} points. "
    if use == "Phone, GPU":
        caution += _half(artefacts)
    return Advice(use, best, _why(best, artefacts), caution.strip())


def _cost(artefact):
    return artefact.size_bytes * artefact.milliseconds


def _half(artefacts):
    """Warn where activations overflow 16-bit floats on a GPU."""
    known = [a.half for a in artefacts if a.half and a.precision in FLOATS]
    bad = [half for half in known if not half["fits"]]
    if not bad:
        return ""
    return (
        f"Computes in 16 bits by default, which cannot hold {bad[0]['largest']:.2g} at "
        f"{bad[0]['operator']}: ask the delegate for 32 bits."
    )


def is_ready(artefact, labels):
    """Whether an app can use a file as it is: pixels in, labelled probabilities out.

    Args:
        artefact: `Verification` of the file. labels: class names, or None.
    """
    named = [tensor.name for tensor in artefact.outputs]
    return (
        bool(labels)
        and artefact.inputs[0].dtype == "uint8"
        and ("probabilities" in named)
    )


def app_command(advice, contract, labels, model_file=None):
    """Build the command that makes an app's file; "" where there is none.

    Args:
        advice: list of `Advice`. contract: of the model. labels: class names, or None.
        model_file: where the model lies, or None where nobody said.
    """
    recipes = {artefact.file: artefact.quantization for artefact in ARTEFACTS.values()}
    colours = contract.image.shape[-1] == 3
    for one in advice:
        recipe = recipes.get(one.artefact.path.name)
        platform = PLATFORMS.get(PLATFORM_OF.get(one.use))
        if platform is None or (platform.mediapipe and not colours):
            continue
        if (recipe or FLOAT32) not in (platform.recipe, *platform.recipes):
            continue
        command = ["keras-vit", "export", str(model_file or UNSAID), "app/"]
        command += ["--for", platform.name]
        if recipe != platform.recipe:
            command += ["--quantization", recipe or FLOAT32]
        command += (
            ["--calibration", "FOLDER"] if recipe and RECIPES[recipe].calibrated else []
        )
        command += [] if labels else ["--class-names", "FILE"]
        command += [] if contract.stated else ["--preprocess", "mode=MODE"]
        return shlex.join(command)
    return ""


def reference_of(artefacts):
    """The float32 `.tflite` file, that ratios refer to, or None."""
    plain = [a for a in artefacts if a.format == "tflite" and a.precision == "float32"]
    return plain[0] if plain else None


def _why(artefact, artefacts):
    """Size, latency and accuracy in one sentence."""
    parts, reference = [f"{artefact.size_bytes / 1e6:.2f} MB"], reference_of(artefacts)
    if reference is not None and reference is not artefact:
        size = artefact.size_bytes / reference.size_bytes
        time = artefact.milliseconds / reference.milliseconds
        parts = [f"{size:.2f}x the size and {time:.2f}x the time of float32 TFLite"]
    if artefact.top1 is not None:
        parts += [artefact.top1_text, artefact.change.against("Keras")]
    elif artefact.agreement is not None:
        parts.append(f"{artefact.agreement:.2f}% of the choices are those of Keras")
    return ", ".join(parts)
