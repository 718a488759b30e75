"""Layer normalisation and LayerScale, in operators that converters fold."""

from typing import Any

import keras
from keras import ops

from keras_vit.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class LayerNorm(keras.layers.Layer):
    """Normalise every token to mean 0 and variance 1, then scale and shift.

    Written as `(x - m) * rsqrt(mean((x - m)^2) + eps) * gamma + beta`: the
    Keras layer's own form lowers to a NEG operator that has no integer kernel
    in TFLite, and keeps gamma and beta from being folded into the next dense
    layer. Statistics are taken in float32 under 16-bit policies.

    Args:
        epsilon: added to the variance.

    Call:
        x: (..., D) float.

    Returns:
        (..., D), in the layer's compute dtype.

    Weights:
        gamma: (D,), ones. beta: (D,), zeros.

    Source:
        Ba et al. 2016, arXiv:1607.06450, eq. (4); epsilon of vit_jax.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        width = (input_shape[-1],)
        self.gamma = self.add_weight(
            shape=width, initializer="ones", name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=width, initializer="zeros", name="beta", autocast=False
        )

    def call(self, x: Tensor) -> Tensor:
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        x = ops.cast(x, wide)
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(centred * centred, axis=-1, keepdims=True)
        gamma, beta = ops.cast(self.gamma, wide), ops.cast(self.beta, wide)
        x = centred * ops.rsqrt(variance + self.epsilon) * gamma + beta
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("keras_vit")
class LayerScale(keras.layers.Layer):
    """Scale each channel of a residual branch by a small learned factor.

    Args:
        init: first value of every factor.

    Call:
        x: (..., D) float.

    Returns:
        (..., D).

    Weights:
        gamma: (D,).

    Source:
        Touvron et al. 2021, arXiv:2103.17239, eq. (4).
    """

    def __init__(self, init: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init = init
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init),
            name="gamma",
        )

    def call(self, x: Tensor) -> Tensor:
        return x * self.gamma

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "init": self.init}
