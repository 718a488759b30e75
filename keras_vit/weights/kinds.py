"""Kinds of models that files load into: kind -> (record, builder)."""

from keras_vit.models import bit, vit
from keras_vit.models.architecture import Architecture

KINDS = {
    "vit": (Architecture, vit.build),
    "bit": (bit.BiTArchitecture, bit.build),
}
