"""Introspection of a trained model: attention, filters, positions, token norms.

Each `plot_*` draws what the function of that name gave, as a matplotlib figure.
"""

from keras_vit.introspect.attention import (
    attention_maps,
    plot_attention_maps,
    readout_attention,
)
from keras_vit.introspect.distance import attention_distance, plot_attention_distance
from keras_vit.introspect.filters import embedding_filters, plot_embedding_filters
from keras_vit.introspect.inspection import Inspection, inspect_model
from keras_vit.introspect.layout import TokenLayout, token_layout
from keras_vit.introspect.norms import plot_token_norms, token_norms
from keras_vit.introspect.page import render_page
from keras_vit.introspect.painting import plot_completion, plot_reconstruction
from keras_vit.introspect.position import plot_position_similarity, position_similarity
from keras_vit.introspect.rollout import attention_rollout, plot_attention_rollout

__all__ = [
    "Inspection",
    "TokenLayout",
    "attention_distance",
    "attention_maps",
    "attention_rollout",
    "embedding_filters",
    "inspect_model",
    "plot_attention_distance",
    "plot_attention_maps",
    "plot_attention_rollout",
    "plot_completion",
    "plot_embedding_filters",
    "plot_position_similarity",
    "plot_reconstruction",
    "plot_token_norms",
    "position_similarity",
    "readout_attention",
    "render_page",
    "token_layout",
    "token_norms",
]
