"""Models, built from `keras_vit.layers`: one paper per file.

Every file is imported here: Keras loads a saved model of a class that it knows.
"""

from keras_vit.models import (
    image_gpt,
    image_gpt_features,
    mae,
    masked_patch,
    moco_v3,
    simclr,
)
from keras_vit.models.abstract_model import outline
from keras_vit.models.architecture import Architecture
from keras_vit.models.bit import BigTransfer, BiTArchitecture
from keras_vit.models.image_model import ImageModel
from keras_vit.models.named import create
from keras_vit.models.replace_head import adapt, has_head
from keras_vit.models.vit import VisionTransformer, build, feature_extractor

__all__ = [
    "Architecture",
    "BiTArchitecture",
    "BigTransfer",
    "ImageModel",
    "adapt",
    "VisionTransformer",
    "build",
    "create",
    "feature_extractor",
    "has_head",
    "image_gpt",
    "image_gpt_features",
    "mae",
    "masked_patch",
    "moco_v3",
    "outline",
    "simclr",
]
