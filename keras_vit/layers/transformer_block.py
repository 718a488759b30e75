"""Transformer encoder block: attention and MLP, pre-norm residual branches."""

from typing import Any

import keras

from keras_vit.layers.attention import Attention
from keras_vit.layers.mlp import MLP
from keras_vit.layers.norm import LayerNorm, LayerScale
from keras_vit.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm transformer block: attention between tokens, then an MLP per token.

    `x = x + drop(scale(attention(norm(x))))`, then the same with the MLP.

    Args:
        heads: attention heads.
        mlp_dim: hidden units of the MLP.
        dropout: probability, after each dense layer but query-key-value.
        attention_dropout: probability, on the attention weights.
        drop_path: probability that a sample skips a branch while training.
        layer_scale: first value of the per-channel factor on each branch, or
            None for no factor.
        activation: "gelu" or "gelu_tanh".
        qkv_bias, qk_norm, relative_position: see `Attention`.
        epsilon: of every norm inside.

    Call:
        tokens: (B, T, D) float.

    Returns:
        (B, T, D).

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, eqs. (2) and (3); drop path
        of Huang et al. 2016, arXiv:1603.09382, per sample and inverted.
    """

    def __init__(
        self,
        heads: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
        activation: str = "gelu",
        qkv_bias: bool = True,
        qk_norm: bool = False,
        relative_position: bool = False,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.mlp_dim = mlp_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.drop_path = drop_path
        self.layer_scale = layer_scale
        self.activation = activation
        self.qkv_bias = qkv_bias
        self.qk_norm = qk_norm
        self.relative_position = relative_position
        self.epsilon = epsilon
        self._make_attention_branch()
        self._make_mlp_branch()

    def _make_attention_branch(self):
        policy = self.dtype_policy
        self.norm1 = LayerNorm(self.epsilon, dtype=policy, name="norm1")
        self.attention = Attention(
            self.heads,
            use_bias=self.qkv_bias,
            qk_norm=self.qk_norm,
            relative_position=self.relative_position,
            attention_dropout=self.attention_dropout,
            dropout=self.dropout,
            epsilon=self.epsilon,
            dtype=policy,
            name="attention",
        )
        self.scale1 = self._make_scale("scale1")
        self.drop_path1 = self._make_drop_path("drop_path1")

    def _make_mlp_branch(self):
        policy = self.dtype_policy
        self.norm2 = LayerNorm(self.epsilon, dtype=policy, name="norm2")
        self.mlp = MLP(
            self.mlp_dim, self.activation, self.dropout, dtype=policy, name="mlp"
        )
        self.scale2 = self._make_scale("scale2")
        self.drop_path2 = self._make_drop_path("drop_path2")

    def _make_scale(self, name):
        if self.layer_scale is None:
            return None
        return LayerScale(self.layer_scale, dtype=self.dtype_policy, name=name)

    def _make_drop_path(self, name):
        return keras.layers.Dropout(
            self.drop_path,
            noise_shape=(None, 1, 1),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: Shape) -> None:
        parts = [self.norm1, self.attention, self.norm2, self.mlp]
        parts += [scale for scale in (self.scale1, self.scale2) if scale is not None]
        for part in parts:
            part.build(input_shape)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        branch = self.attention(self.norm1(tokens), training=training)
        branch = branch if self.scale1 is None else self.scale1(branch)
        tokens = tokens + self.drop_path1(branch, training=training)
        branch = self.mlp(self.norm2(tokens), training=training)
        branch = branch if self.scale2 is None else self.scale2(branch)
        return tokens + self.drop_path2(branch, training=training)

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """Attention of this block for its input tokens: (B, A, T, T) float32."""
        return self.attention.attention_weights(self.norm1(tokens))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "heads": self.heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path,
            "layer_scale": self.layer_scale,
            "activation": self.activation,
            "qkv_bias": self.qkv_bias,
            "qk_norm": self.qk_norm,
            "relative_position": self.relative_position,
            "epsilon": self.epsilon,
        }
