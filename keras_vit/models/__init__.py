"""One paper, one file: models built from `keras_vit.layers`."""

from keras_vit.models.adapting import adapt
from keras_vit.models.architecture import Architecture
from keras_vit.models.bit import BigTransfer, BiTArchitecture
from keras_vit.models.image_model import ImageModel
from keras_vit.models.named import create
from keras_vit.models.outline import outline
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
    "outline",
]
