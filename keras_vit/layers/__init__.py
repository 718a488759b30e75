"""Layers of a Vision Transformer; they know shapes, not files or epochs."""

from keras_vit.layers.attention import Attention
from keras_vit.layers.conv import (
    BottleneckUnit,
    GroupNorm,
    PreactivationUnit,
    StdConv,
)
from keras_vit.layers.mlp import MLP
from keras_vit.layers.norm import LayerNorm, LayerScale
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patches import Patches
from keras_vit.layers.pooling import AttentionPooling, MeanPooling, TokenPooling
from keras_vit.layers.transformer_block import TransformerBlock

__all__ = [
    "MLP",
    "Attention",
    "AttentionPooling",
    "BottleneckUnit",
    "GroupNorm",
    "LayerNorm",
    "LayerScale",
    "MeanPooling",
    "PatchEncoder",
    "Patches",
    "PreactivationUnit",
    "StdConv",
    "TokenPooling",
    "TransformerBlock",
]
