"""The MLP of a block, and the GELU variants of checkpoints."""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
def gelu(x):
    """x * Phi(x) through erf: converters fuse this spelling to one operator.

    `keras.activations.gelu` lowers to erfc on TensorFlow, which tf2onnx writes
    as an operator that does not exist.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, eq. (1).

    >>> round(float(gelu(keras.ops.array(1.0))), 4)
    0.8413
    """
    return 0.5 * x * (1.0 + ops.erf(x * (1.0 / math.sqrt(2.0))))


@keras.saving.register_keras_serializable("keras_vit")
def gelu_tanh(x):
    """The tanh approximation of GELU, which Google's checkpoints were trained with.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2. Largest
    distance to the exact form: 4.7e-4, near |x| = 2.7.

    >>> round(float(gelu_tanh(keras.ops.array(1.0))), 4)
    0.8412
    """
    return ops.gelu(x, approximate=True)


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh}


def get_activation(name):
    """Find an activation by name.

    Raises:
        ValueError: for a name that is not in ACTIVATIONS.
    """
    if name not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ValueError(f"activation: must be one of {known}, got {name!r}.")
    return ACTIVATIONS[name]


@keras.saving.register_keras_serializable("keras_vit")
class MLP(keras.layers.Layer):
    """Two dense layers with GELU between, on each token alone.

    Args:
        hidden: units of the wide layer.
        activation: "gelu" (erf) or "gelu_tanh".
        dropout: probability, applied after each dense layer.

    Call:
        tokens: (B, T, D) float.

    Returns:
        (B, T, D).

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, eq. (3). Initialisers of
        vit_jax: Glorot uniform kernels, biases normal with std 1e-6.
    """

    def __init__(
        self, hidden: int, activation: str = "gelu", dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self._act = get_activation(activation)
        self.fc1 = self._dense(hidden, "fc1")
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    def _dense(self, units, name):
        bias = keras.initializers.RandomNormal(stddev=1e-6)
        return keras.layers.Dense(
            units, bias_initializer=bias, dtype=self.dtype_policy, name=name
        )

    def build(self, input_shape: Shape) -> None:
        self.fc2 = self._dense(input_shape[-1], "fc2")
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden))

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        hidden = self.drop(self._act(self.fc1(tokens)), training=training)
        return self.drop(self.fc2(hidden), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "hidden": self.hidden,
            "activation": self.activation,
            "dropout": self.dropout,
        }
