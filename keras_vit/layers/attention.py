"""Multi-head self-attention, with its attention weights available."""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.norm import LayerNorm
from keras_vit.types import Config, Shape, Tensor


def uniform_of_square(width):
    """Glorot uniform initialiser for stacked (D, D) matrices, each scaled by itself.

    A fused query-key-value kernel is three such matrices side by side; taking
    the fan-out of the stack would shrink each of them.
    """
    limit = math.sqrt(6.0 / (2.0 * width))
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable("keras_vit")
class Attention(keras.layers.Layer):
    """Multi-head self-attention over all tokens.

    One fused query-key-value projection, and no tensor above rank 4, so that
    the graph stays small on phones. The softmax runs in float32 under 16-bit
    policies.

    Args:
        heads: number of heads A; must divide the width.
        use_bias: whether the query, key and value projections have a bias.
        qk_norm: normalise queries and keys per head.
        relative_position: add logits of the query with an embedding of the
            1-D offset between the two tokens; needs a fixed token count.
        attention_dropout: probability, on the attention weights.
        dropout: probability, after the output projection.
        epsilon: of the query and key norms.

    Call:
        tokens: (B, T, D) float.

    Returns:
        (B, T, D).

    Weights:
        qkv: kernel (D, 3D), columns query | key | value, head-major inside
        each; proj: kernel (D, D); offsets: (2T - 1, d), shared by the heads.

    Raises:
        ValueError: on build, when heads does not divide D, or T is unknown
            with relative_position.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, eq. (1); relative position as in
        Dosovitskiy et al. 2021, arXiv:2010.11929, appendix D.4, which leaves
        open whether heads share the offsets (ours: they do).
    """

    def __init__(
        self,
        heads: int,
        use_bias: bool = True,
        qk_norm: bool = False,
        relative_position: bool = False,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.use_bias = use_bias
        self.qk_norm = qk_norm
        self.relative_position = relative_position
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.epsilon = epsilon
        policy = self.dtype_policy
        self.weights_drop = keras.layers.Dropout(
            attention_dropout, dtype=policy, name="weights_drop"
        )
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="drop")
        if qk_norm:
            self.query_norm = LayerNorm(epsilon, dtype=policy, name="query_norm")
            self.key_norm = LayerNorm(epsilon, dtype=policy, name="key_norm")

    def build(self, input_shape: Shape) -> None:
        _, length, width = input_shape
        if width % self.heads:
            raise ValueError(
                f"{self.name}: the width must be a multiple of heads, got width="
                f"{width}, heads={self.heads}. Use a number of heads that divides it."
            )
        self.qkv = keras.layers.Dense(
            3 * width,
            use_bias=self.use_bias,
            kernel_initializer=uniform_of_square(width),
            dtype=self.dtype_policy,
            name="qkv",
        )
        self.proj = keras.layers.Dense(width, dtype=self.dtype_policy, name="proj")
        self.qkv.build(input_shape)
        self.proj.build(input_shape)
        head = (None, self.heads, length, width // self.heads)
        if self.qk_norm:
            self.query_norm.build(head)
            self.key_norm.build(head)
        if self.relative_position:
            self._build_offsets(length, width // self.heads)

    def _build_offsets(self, length, head_width):
        if length is None:
            raise ValueError(
                f"{self.name}: relative positions need a fixed token count, got "
                "tokens of unknown length. Give the model a fixed image size."
            )
        self.offsets = self.add_weight(
            shape=(2 * length - 1, head_width),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="offsets",
        )

    def _heads(self, tokens):
        """Project tokens to query, key and value, each (B, A, T, d)."""
        width = tokens.shape[-1] // self.heads
        length = tokens.shape[1] or ops.shape(tokens)[1]
        x = ops.reshape(self.qkv(tokens), (-1, length, 3 * self.heads, width))
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, 3A, T, d)
        query, key, value = ops.split(x, 3, axis=1)
        if self.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        return query * (1.0 / math.sqrt(width)), key, value

    def _offset_logits(self, query):
        """Relative position logits of each query by (key index - query index)."""
        length = query.shape[2]
        logits = ops.matmul(query, ops.transpose(self.offsets))  # (B, A, T, 2T-1)
        logits = ops.pad(logits, ((0, 0), (0, 0), (0, 0), (0, 1)))
        flat = ops.reshape(logits, (-1, self.heads, length * 2 * length))
        flat = flat[:, :, : length * (2 * length - 1)]
        skewed = ops.reshape(flat, (-1, self.heads, length, 2 * length - 1))
        return skewed[:, :, :, length - 1 :]  # (B, A, T, T)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scaled query-key products: (B, A, T, T), before softmax."""
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if self.relative_position:
            scores = scores + self._offset_logits(query)
        return scores

    def _attend(self, query, key):
        scores = self.scores(query, key)
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        return ops.softmax(ops.cast(scores, wide), axis=-1)

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """Attention weights: (B, A, T, T) float32, rows sum to 1, before dropout."""
        query, key, _ = self._heads(tokens)
        return self._attend(query, key)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        query, key, value = self._heads(tokens)
        weights = ops.cast(self._attend(query, key), self.compute_dtype)
        weights = self.weights_drop(weights, training=training)
        x = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # (B, T, A, d)
        length = tokens.shape[1] or ops.shape(tokens)[1]
        x = self.proj(ops.reshape(x, (-1, length, tokens.shape[-1])))
        return self.drop(x, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "heads": self.heads,
            "use_bias": self.use_bias,
            "qk_norm": self.qk_norm,
            "relative_position": self.relative_position,
            "attention_dropout": self.attention_dropout,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }
