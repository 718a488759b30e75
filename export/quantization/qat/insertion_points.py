"""Insertion points of fake quantization in a Keras model."""

import dataclasses

import keras
import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.prepare_model import dense_layers
from keras_vit.layers import TransformerBlock
from keras_vit.layers.attention import Attention
from keras_vit.layers.mlp import MLP
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.pooling import AttentionPooling
from keras_vit.private_keras import flatten_layers, readers_of


@dataclasses.dataclass(frozen=True)
class InsertionPoint:
    """One dense layer, with its neighbours that decide its quantization.

    Args:
        dense: the layer.
        kind: "inner"; "image", which reads pixels; "head", which no dense layer
            reads; "constant", which reads no image at all.
        beside: place of the layer whose input it reads too, or None.
        second: place of the layer behind its GELU, or None.
        first: place of the layer before its GELU, or None.
        factor: (out,) that the file folds into its output, or None.
    """

    dense: object
    kind: str = "inner"
    beside: int | None = None
    second: int | None = None
    first: int | None = None
    factor: np.ndarray | None = None


def find_insertion_points(model):
    """Find an `InsertionPoint` for every dense layer, in the order of `dense_layers`.

    Args:
        model: functional Keras model.

    Raises:
        UnsupportedLayer: for a convolution, whose ranges are not learned.
    """
    layers = dense_layers(model)
    places = {id(dense): place for place, dense in enumerate(layers)}
    facts = [{} for _ in layers]
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.Layer) and _is_convolution(layer):
            raise UnsupportedLayer(
                "quantize_aware: all layers with weights in integers must be dense, "
                f"got {type(layer).__name__} {layer.name!r}. Use "
                'quantization="static_int8" without fine-tuning.'
            )
        for dense, fact in _facts(layer, places):
            facts[places[id(dense)]].update(fact)
    for dense in _heads(model):
        facts[places[id(dense)]]["kind"] = "head"
    return [
        InsertionPoint(dense, **fact) for dense, fact in zip(layers, facts, strict=True)
    ]


def _is_convolution(layer):
    return hasattr(layer, "kernel_size") and hasattr(layer, "kernel")


def _facts(layer, places):
    """(dense layer, fields of its `InsertionPoint`) of one enclosing layer."""
    if isinstance(layer, PatchEncoder):
        yield layer.projection, {"kind": "image"}
    elif isinstance(layer, MLP):
        yield layer.fc1, {"second": places[id(layer.fc2)]}
        yield layer.fc2, {"first": places[id(layer.fc1)]}
    elif isinstance(layer, AttentionPooling):
        yield layer.query, {"kind": "constant"}
        yield layer.value, {"beside": places[id(layer.key)]}
    elif isinstance(layer, Attention) and not layer.qk_norm:
        width = layer.qkv.units // 3
        factor = np.ones(3 * width, "float32")
        factor[:width] = (width // layer.heads) ** -0.5
        yield layer.qkv, {"factor": factor}


def attentions(model):
    """Attention layers of the blocks, in order."""
    blocks = (layer for layer in model.layers if isinstance(layer, TransformerBlock))
    found = [block.attention for block in blocks]
    return [attention for attention in found if not attention.relative_position]


def _heads(model):
    """Dense layers of the model itself that no layer with a dense layer reads."""
    own = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    return [dense for dense in own if not _read_by_dense(dense)]


def _read_by_dense(layer):
    for reader in readers_of(layer):
        inside = flatten_layers(reader) if isinstance(reader, keras.Layer) else []
        if any(isinstance(part, keras.layers.Dense) for part in inside):
            return True
        if _read_by_dense(reader):
            return True
    return False
