"""Checkpoints of Big Transfer, arXiv:1912.11370, and of its students.

Scores are published ones, measured by the source named in the row.
"""

from keras_vit.weights.checkpoint_row import Checkpoint

BIT = "https://storage.googleapis.com/bit_models"
APACHE = "Apache-2.0"
TIMM = "timm results"
README = "big_transfer README"
IN21K, IN1K = 21_843, 1_000

# fmt: off
# BiT-S (ImageNet-1k), BiT-M (ImageNet-21k), and BiT-M fine-tuned on ImageNet-1k at
# the size that timm evaluates it at.
SIZES = (
    # ResNet, px fine-tuned, top-1 fine-tuned
    ("R50x1",  448, None),   ("R50x3",  448, 84.020), ("R101x1", 448, 82.342),
    ("R101x3", 448, 84.438), ("R152x2", 448, 84.510), ("R152x4", 480, 84.916),
)
# "Knowledge distillation: A good teacher is patient and consistent",
# arXiv:2106.05237: students, and the teachers of both sizes.
DISTILLED = (
    # ResNet, tag, file, px, preparation, top-1, source
    ("R50x1",  "distilled_in1k", "R50x1_224", 224, "timm_bicubic_margin", 82.820, TIMM),
    ("R50x1",  "distilled_in1k", "R50x1_160", 160, "timm_bicubic_margin", 80.5, README),
    ("R152x2", "teacher_in21k_ft_in1k", "R152x2_T_224", 224, "timm_bicubic_margin",
     82.876, TIMM),
    ("R152x2", "teacher_in21k_ft_in1k", "R152x2_T_384", 384, "timm_bicubic",
     83.834, TIMM),
)
# fmt: on


def rows():
    """Every row of this file, as `Checkpoint`."""
    return [*_transfer(), *_distilled()]


def _row(resnet, tag, px, classes, file, how, score, source):
    url = f"{BIT}/{file}.npz"
    variant = f"BiT_{resnet}"
    return Checkpoint(variant, tag, px, classes, (url,), how, score, source, APACHE)


def _transfer():
    how = "timm_bilinear_margin"
    for resnet, px, score in SIZES:
        small, medium = f"BiT-S-{resnet}", f"BiT-M-{resnet}"
        yield _row(resnet, "goog_in1k", 224, IN1K, small, how, None, "")
        yield _row(resnet, "goog_in21k", 224, IN21K, medium, how, None, "")
        tuned, source = f"{medium}-ILSVRC2012", TIMM if score else ""
        given = (px, IN1K, tuned, "timm_bilinear", score, source)
        yield _row(resnet, "goog_in21k_ft_in1k", *given)


def _distilled():
    for resnet, tag, file, px, how, score, source in DISTILLED:
        yield _row(resnet, tag, px, IN1K, f"distill/{file}", how, score, source)
