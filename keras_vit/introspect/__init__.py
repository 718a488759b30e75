"""Looking inside a trained model."""

from keras_vit.introspect.attention import attention_maps, readout_attention

__all__ = ["attention_maps", "readout_attention"]
