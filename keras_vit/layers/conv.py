"""Weight-standardised convolution, group normalisation and the units made of them.

Defaults are the constants of vit_jax's hybrids. Big Transfer has others.
"""

from typing import Any

import keras
from keras import ops

from keras_vit.choices import check_choice
from keras_vit.layers.legacy import refuse_h5
from keras_vit.types import Config, Shape, Tensor

GROUPS = 32
PADDINGS = ("same", "symmetric")


@keras.saving.register_keras_serializable("keras_vit")
class StdConv(keras.layers.Layer):
    """Convolve with a kernel that always has mean 0 and deviation 1 per filter.

    The stored kernel is raw; it is standardised at every call, so training sees
    the gradient through the standardisation.

    Args:
        filters: output channels. size: side of the kernel, odd. strides: step.
        epsilon: keeps the division from zero.
        inside: whether epsilon is added to the variance, under the root (Big
            Transfer), or to the deviation (vit_jax).
        padding: "same" as in TensorFlow, where of an odd amount the larger part
            comes after; or "symmetric" as in PyTorch, size // 2 on each side.
        baked: whether the stored kernel is standardised already, as in exported
            models; it is then used as it is.

    Call:
        x: (B, H, W, C) float.

    Returns:
        (B, ceil(H / strides), ceil(W / strides), filters).

    Weights:
        kernel: (size, size, C, filters), no bias.

    Raises:
        ValueError: for an even size or an unknown padding.

    Source:
        Qiao et al. 2019, arXiv:1903.10520; epsilon of vit_jax's models_resnet.py.
    """

    def __init__(
        self,
        filters: int,
        size: int,
        strides: int = 1,
        epsilon: float = 1e-5,
        inside: bool = False,
        padding: str = "same",
        baked: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if size % 2 == 0:
            raise ValueError(f"size: must be odd, got {size}. Use {size + 1}.")
        check_choice("padding", padding, PADDINGS)
        self.filters = filters
        self.size = size
        self.strides = strides
        self.epsilon = epsilon
        self.inside = inside
        self.padding = padding
        self.baked = baked

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(
            shape=(self.size, self.size, input_shape[-1], self.filters),
            initializer=keras.initializers.LecunNormal(),
            name="kernel",
            autocast=False,
        )

    @property
    def margin(self) -> int:
        """Explicit zero padding per side, px; 0 where the convolution pads."""
        # With a step of 1 both kinds of padding are the same.
        return self.size // 2 if self.padding != "same" and self.strides > 1 else 0

    def standardised_kernel(self) -> Tensor:
        """The standardised kernel, (size, size, C, filters)."""
        kernel = ops.convert_to_tensor(self.kernel)
        if not self.baked:
            kernel = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
            variance = ops.mean(kernel * kernel, axis=(0, 1, 2), keepdims=True)
            if self.inside:
                kernel = kernel / ops.sqrt(variance + self.epsilon)
            else:
                kernel = kernel / (ops.sqrt(variance) + self.epsilon)
        return ops.cast(kernel, self.compute_dtype)

    def call(self, x: Tensor) -> Tensor:
        if self.margin:
            sides = (self.margin, self.margin)
            x = ops.pad(x, ((0, 0), sides, sides, (0, 0)))
        return ops.conv(
            x,
            self.standardised_kernel(),
            strides=self.strides,
            padding="valid" if self.margin else "same",
            data_format="channels_last",
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *sides, _ = input_shape
        sides = [None if s is None else -(-s // self.strides) for s in sides]
        return (batch, *sides, self.filters)

    def get_config(self) -> Config:
        refuse_h5()
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": self.size,
            "strides": self.strides,
            "epsilon": self.epsilon,
            "inside": self.inside,
            "padding": self.padding,
            "baked": self.baked,
        }


@keras.saving.register_keras_serializable("keras_vit")
class GroupNorm(keras.layers.Layer):
    """Normalise groups of neighbouring channels over the whole image.

    Statistics are taken in float32 under 16-bit policies; no tensor has more
    than four axes.

    Args:
        epsilon: added to the variance.
        zero: whether the scale starts at 0, which makes a residual branch start
            as the identity.

    Call:
        x: (B, H, W, C) float, C a multiple of 32.

    Returns:
        (B, H, W, C).

    Weights:
        gamma: (C,), ones or zeros. beta: (C,), zeros.

    Raises:
        ValueError: on build, when the channels cannot be grouped.

    Source:
        Wu and He 2018, arXiv:1803.08494, eq. (1); 32 groups.
    """

    def __init__(
        self, epsilon: float = 1e-6, zero: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.zero = zero

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        if channels % GROUPS:
            raise ValueError(
                f"{self.name}: channels must be a multiple of {GROUPS}, got "
                f"{channels}. Use another width."
            )
        scale = "zeros" if self.zero else "ones"
        self.gamma = self.add_weight(
            shape=(channels,), initializer=scale, name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta", autocast=False
        )

    def call(self, x: Tensor) -> Tensor:
        _, height, width, channels = ops.shape(x)
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        x = ops.reshape(
            ops.cast(x, wide), (-1, height * width, GROUPS, channels // GROUPS)
        )
        x = x - ops.mean(x, axis=(1, 3), keepdims=True)
        variance = ops.mean(x * x, axis=(1, 3), keepdims=True)
        x = x * ops.rsqrt(variance + self.epsilon)
        x = ops.reshape(x, (-1, height, width, channels))
        x = x * ops.cast(self.gamma, wide) + ops.cast(self.beta, wide)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "epsilon": self.epsilon, "zero": self.zero}


@keras.saving.register_keras_serializable("keras_vit")
class BottleneckUnit(keras.layers.Layer):
    """A residual unit that normalises after each convolution (ResNet v1.5).

    1x1, 3x3 and 1x1 convolutions on one branch, added to the input or, where the
    shape changes, to a projection of it.

    Args:
        filters: channels in the middle; 4 times as many come out.
        strides: step of the 3x3 convolution and of the projection.
        baked: as in `StdConv`.

    Call:
        x: (B, H, W, C) float.

    Returns:
        (B, ceil(H / strides), ceil(W / strides), 4 * filters).

    Source:
        He et al. 2015, arXiv:1512.03385, fig. 5; vit_jax's models_resnet.py.
    """

    def __init__(
        self, filters: int, strides: int = 1, baked: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.baked = baked
        policy = self.dtype_policy
        for part, size, step in (("1", 1, 1), ("2", 3, strides), ("3", 1, 1)):
            width = 4 * filters if part == "3" else filters
            name = f"conv{part}"
            conv = StdConv(width, size, step, baked=baked, dtype=policy, name=name)
            norm = GroupNorm(zero=part == "3", dtype=policy, name=f"norm{part}")
            setattr(self, f"conv{part}", conv)
            setattr(self, f"norm{part}", norm)

    def build(self, input_shape: Shape) -> None:
        self.conv_proj: Any = None
        self.norm_proj: Any = None
        if input_shape[-1] != 4 * self.filters or self.strides != 1:
            self.conv_proj = StdConv(
                4 * self.filters,
                1,
                self.strides,
                baked=self.baked,
                dtype=self.dtype_policy,
                name="conv_proj",
            )
            self.norm_proj = GroupNorm(dtype=self.dtype_policy, name="norm_proj")
            self._build_pair(self.conv_proj, self.norm_proj, input_shape)
        shape = self._build_pair(self.conv1, self.norm1, input_shape)
        shape = self._build_pair(self.conv2, self.norm2, shape)
        self._build_pair(self.conv3, self.norm3, shape)

    def _build_pair(self, conv, norm, shape):
        """Build convolution and norm; returns the output shape."""
        conv.build(shape)
        shape = conv.compute_output_shape(shape)
        norm.build(shape)
        return shape

    def call(self, x: Tensor) -> Tensor:
        shortcut = x if self.conv_proj is None else self.norm_proj(self.conv_proj(x))
        x = ops.relu(self.norm1(self.conv1(x)))
        x = ops.relu(self.norm2(self.conv2(x)))
        return ops.relu(shortcut + self.norm3(self.conv3(x)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self.conv2.compute_output_shape(input_shape)
        return (*shape[:3], 4 * self.filters)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "baked": self.baked,
        }


@keras.saving.register_keras_serializable("keras_vit")
class PreactivationUnit(keras.layers.Layer):
    """A residual unit that normalises before each convolution (ResNet-v2).

    Nothing stands on the way of the sum, so that it passes through all units as it
    is; a projection, where the shape changes, takes the normalised input.

    Args:
        filters: channels in the middle; 4 times as many come out.
        strides: step of the 3x3 convolution and of the projection.
        epsilon: of the standardisation, under the root.
        norm_epsilon: of the group norms.
        baked: as in `StdConv`.

    Call:
        x: (B, H, W, C) float.

    Returns:
        (B, ceil(H / strides), ceil(W / strides), 4 * filters).

    Source:
        He et al. 2016, arXiv:1603.05027, fig. 1 (b); Kolesnikov et al. 2019,
        arXiv:1912.11370, section 3.2, with the constants of big_transfer.
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        epsilon: float = 1e-10,
        norm_epsilon: float = 1e-5,
        baked: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.epsilon = epsilon
        self.norm_epsilon = norm_epsilon
        self.baked = baked
        for part in ("1", "2", "3"):
            norm = GroupNorm(norm_epsilon, dtype=self.dtype_policy, name=f"norm{part}")
            setattr(self, f"norm{part}", norm)
        self.conv1 = self._conv(filters, 1, 1, "conv1")
        self.conv2 = self._conv(filters, 3, strides, "conv2")
        self.conv3 = self._conv(4 * filters, 1, 1, "conv3")

    def _conv(self, filters, size, strides, name):
        return StdConv(
            filters,
            size,
            strides,
            epsilon=self.epsilon,
            inside=True,
            padding="symmetric",
            baked=self.baked,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: Shape) -> None:
        self.conv_proj = None
        if input_shape[-1] != 4 * self.filters or self.strides != 1:
            self.conv_proj = self._conv(4 * self.filters, 1, self.strides, "conv_proj")
            self.conv_proj.build(input_shape)
        shape = input_shape
        for norm, conv in (
            (self.norm1, self.conv1),
            (self.norm2, self.conv2),
            (self.norm3, self.conv3),
        ):
            norm.build(shape)
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, x: Tensor) -> Tensor:
        normed = ops.relu(self.norm1(x))
        shortcut = x if self.conv_proj is None else self.conv_proj(normed)
        x = self.conv1(normed)
        x = self.conv2(ops.relu(self.norm2(x)))
        x = self.conv3(ops.relu(self.norm3(x)))
        return shortcut + x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self.conv2.compute_output_shape(input_shape)
        return (*shape[:3], 4 * self.filters)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "epsilon": self.epsilon,
            "norm_epsilon": self.norm_epsilon,
            "baked": self.baked,
        }
