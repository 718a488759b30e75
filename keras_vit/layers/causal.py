"""Causal transformer blocks with a key-value cache."""

import math

import keras
from keras import ops

HIDDEN = -1e10  # logit of a masked position


@keras.saving.register_keras_serializable("keras_vit")
class RMSNorm(keras.layers.Layer):
    """Normalise every token to a root mean square of 1, without centring.

    Args:
        epsilon: added to the mean square.

    Call:
        x: (..., D) float. Returns: (..., D).

    Weights:
        gamma: (D,), ones.

    Source:
        image GPT's code, which its paper calls layer norm; Zhang and Sennrich 2019,
        arXiv:1910.07467, eq. (4).
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", name="gamma", autocast=False
        )

    def call(self, x):
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        # A copy, so that no gradient is a sum of more than two: TensorFlow adds three
        # in whatever order they come, and then no two runs are the same.
        x = ops.cast(ops.copy(x), wide)
        square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        scale = ops.rsqrt(square + self.epsilon)
        return ops.cast(x * scale * ops.cast(self.gamma, wide), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def quick_gelu(x):
    """x * sigmoid(1.702 x), the GELU of image GPT."""
    return x * ops.sigmoid(1.702 * x)


@keras.saving.register_keras_serializable("keras_vit")
class CausalBlock(keras.layers.Layer):
    """Causal transformer block: masked self-attention, then an MLP per token.

    Args:
        heads: attention heads, a divisor of D. mlp_dim: hidden units.
        depth: number of blocks in the model, for the first size of a projection.
        causal: False lets every token see all.
        use_bias: whether dense layers have a bias.
        epsilon: of the norms.

    Call:
        tokens: (B, S, D) float.
        cache: (B, 2A, T, d), keys and values of what was seen before, or None.
        start: place of the first token, with a cache.

    Returns:
        (B, S, D); with a cache also the cache with these tokens in it.

    Source:
        Chen et al. 2020, "Generative Pretraining from Pixels", section 3.3, and its
        code: no biases, RMS norms, quick GELU.
    """

    def __init__(
        self,
        heads,
        mlp_dim,
        depth=1,
        causal=True,
        use_bias=False,
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.heads = heads
        self.mlp_dim = mlp_dim
        self.depth = depth
        self.causal = causal
        self.use_bias = use_bias
        self.epsilon = epsilon
        self.norm1 = RMSNorm(epsilon, dtype=self.dtype_policy, name="norm1")
        self.norm2 = RMSNorm(epsilon, dtype=self.dtype_policy, name="norm2")

    def build(self, input_shape):
        width = input_shape[-1]
        self.qkv = self._dense(3 * width, width**-0.5, "qkv")
        self.proj = self._dense(width, (width * self.depth) ** -0.5, "proj")
        self.fc1 = self._dense(self.mlp_dim, 0.02, "fc1")
        self.fc2 = self._dense(width, 0.02, "fc2")
        for layer in (self.norm1, self.qkv, self.proj, self.norm2, self.fc1):
            layer.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.mlp_dim))

    def _dense(self, units, deviation, name):
        return keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, tokens, cache=None, start=0):
        mixed, cache = self._attend(self.norm1(tokens), cache, start)
        tokens = tokens + mixed
        tokens = tokens + self.fc2(quick_gelu(self.fc1(self.norm2(tokens))))
        return tokens if cache is None else (tokens, cache)

    def _attend(self, tokens, cache, start):
        """Attention over the cache, or over the tokens themselves without one."""
        length, width = tokens.shape[1], tokens.shape[-1]
        d = width // self.heads
        x = ops.reshape(self.qkv(tokens), (-1, length, 3 * self.heads, d))
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, 3A, S, d)
        query, seen = x[:, : self.heads], x[:, self.heads :]
        if cache is not None:
            cache = seen = ops.slice_update(cache, (0, 0, start, 0), seen)
        key, value = seen[:, : self.heads], seen[:, self.heads :]
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(d)
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        scores = ops.cast(scores, wide) + self._mask(length, key.shape[2], start, wide)
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        x = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.proj(ops.reshape(x, (-1, length, width))), cache

    def _mask(self, rows, columns, start, dtype):
        """Causal mask (S, T) to add to the logits."""
        if not self.causal:
            return ops.zeros((rows, columns), dtype)
        places = ops.expand_dims(start + ops.arange(rows), 1)
        return ops.cast(ops.arange(columns) > places, dtype) * HIDDEN

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "mlp_dim": self.mlp_dim,
            "depth": self.depth,
            "causal": self.causal,
            "use_bias": self.use_bias,
            "epsilon": self.epsilon,
        }
