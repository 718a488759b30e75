"""Pooling of tokens to one vector per image."""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.mlp import MLP
from keras_vit.layers.norm import LayerNorm
from keras_vit.types import Config, Shape, Tensor

POOLINGS = ("token", "gap", "map")


@keras.saving.register_keras_serializable("keras_vit")
class TokenPooling(keras.layers.Layer):
    """Pool by one token: the class token, as in the ViT paper.

    Args:
        index: which token.

    Call:
        tokens: (B, T, D). Returns: (B, D).
    """

    def __init__(self, index: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.index = index

    def call(self, tokens: Tensor) -> Tensor:
        return tokens[:, self.index]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> Config:
        return {**super().get_config(), "index": self.index}


@keras.saving.register_keras_serializable("keras_vit")
class MeanPooling(keras.layers.Layer):
    """Pool by the mean of the patch tokens, without the prefix.

    Args:
        prefix: tokens before the patches. Count.

    Call:
        tokens: (B, T, D). Returns: (B, D).
    """

    def __init__(self, prefix: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def call(self, tokens: Tensor) -> Tensor:
        patches = tokens[:, self.prefix :] if self.prefix else tokens
        return ops.mean(patches, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> Config:
        return {**super().get_config(), "prefix": self.prefix}


@keras.saving.register_keras_serializable("keras_vit")
class AttentionPooling(keras.layers.Layer):
    """Pool by attention with one learned query, then an MLP.

    Args:
        heads: attention heads A. mlp_dim: hidden units of the MLP.
        activation: "gelu" or "gelu_tanh". epsilon: of the norm.

    Call:
        tokens: (B, T, D) float. Returns: (B, D).

    Weights:
        probe: (1, 1, D), uniform in +-sqrt(6 / (1 + D)).

    Source:
        Zhai et al. 2022, arXiv:2106.04560 (multihead attention pooling), as in
        big_vision's MAPHead.
    """

    def __init__(
        self,
        heads: int,
        mlp_dim: int,
        activation: str = "gelu",
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.epsilon = epsilon
        policy = self.dtype_policy
        self.norm = LayerNorm(epsilon, dtype=policy, name="norm")
        self.mlp = MLP(mlp_dim, activation, dtype=policy, name="mlp")

    def build(self, input_shape: Shape) -> None:
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(
                f"{self.name}: the width must be a multiple of heads, got width="
                f"{width}, heads={self.heads}. Use a number of heads that divides it."
            )
        limit = math.sqrt(6.0 / (1.0 + width))
        self.probe = self.add_weight(
            shape=(1, 1, width),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="probe",
        )
        for name in ("query", "key", "value", "proj"):
            dense = keras.layers.Dense(width, dtype=self.dtype_policy, name=name)
            dense.build(input_shape)
            setattr(self, name, dense)
        self.norm.build((None, 1, width))
        self.mlp.build((None, 1, width))

    def _split(self, x):
        """(B, T, D) -> (B, A, T, d)."""
        length = x.shape[1] or ops.shape(x)[1]
        x = ops.reshape(x, (-1, length, self.heads, x.shape[-1] // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """Attention weights of the query: (B, A, 1, T) float32, rows sum to 1."""
        width = tokens.shape[-1] // self.heads
        probe = ops.cast(self.probe, self.compute_dtype)
        query = self._split(self.query(probe)) * (1.0 / math.sqrt(width))
        key = self._split(self.key(tokens))
        # The constant stands on the right: phones' GPU delegates want it there.
        scores = ops.matmul(key, ops.transpose(query, (0, 1, 3, 2)))  # (B, A, T, 1)
        length = tokens.shape[1] or ops.shape(tokens)[1]
        scores = ops.reshape(scores, (-1, self.heads, 1, length))
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        return ops.softmax(ops.cast(scores, wide), axis=-1)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        weights = ops.cast(self.attention_weights(tokens), self.compute_dtype)
        x = ops.matmul(weights, self._split(self.value(tokens)))  # (B, A, 1, d)
        x = self.proj(ops.reshape(x, (-1, 1, tokens.shape[-1])))
        x = x + self.mlp(self.norm(x), training=training)
        return ops.reshape(x, (-1, tokens.shape[-1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "heads": self.heads,
            "mlp_dim": self.mlp_dim,
            "activation": self.activation,
            "epsilon": self.epsilon,
        }
