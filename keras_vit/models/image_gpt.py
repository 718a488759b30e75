"""Image GPT: an autoregressive Transformer over pixels.

Chen et al. 2020, "Generative Pretraining from Pixels" (ICML 2020), and its code.
"""

import math
import numbers
import os
from collections.abc import Iterator
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_vit.choices import check_choice
from keras_vit.layers.causal import CausalBlock, RMSNorm
from keras_vit.layers.patches import pair
from keras_vit.models.image_model import ImageModel
from keras_vit.models.palette import grid_palette, quantize, read_palette
from keras_vit.models.pretraining import PretrainingModel, is_share
from keras_vit.preprocess import Preprocessing
from keras_vit.types import Config, FilePath, Shape, Size, Tensor

OBJECTIVES = ("autoregressive", "bert")
FARTHEST = 2.0  # of 0 that a value of -1..1 may lie after an augmentation


@keras.saving.register_keras_serializable("keras_vit")
class ImageGPT(PretrainingModel):
    """Predict the palette number of each pixel from the pixels before, in raster order.

    `compile(optimizer)` without a loss, then `fit(images)`: the loss, in nats per
    pixel, is inside. `keras_vit.models.generate` paints images with it.

    Args:
        image_size: side in px, or (H, W). width: D. depth: blocks. heads: a divisor
            of D. mlp_dim: hidden units, None for 4 D.
        colors: V, size of the palette.
        palette: (V, 3) in -1..1, such as the released centres or `fit_palette`, or an
            .npy file with one; None is an even grid of V colours.
        objective: "autoregressive", or "bert": 15% of the pixels are hidden, and
            guessed from all others.
        mask_ratio: share of hidden pixels for "bert", 0..1, drawn for each alone.
        use_bias: whether dense layers have a bias; published models have none.
        epsilon: of the norms. seed: of the draws. name, dtype: as usual.
        preprocessing: None is Google's range, which palettes use.

    Call:
        inputs: (B, H, W, 3) images in -1..1, or (B, H*W) int palette numbers.

    Returns:
        (B, H*W, V) logits: those at place i are for the pixel at place i.

    Weights:
        embedding: (V + 1, D), the last row is the start token. position: (H*W, D).
        palette: (V, 3), fixed.

    Raises:
        ValueError: for options that do not go together.

    Source:
        Chen et al. 2020, sections 3.1 to 3.4; initial values of its code.
    """

    def __init__(
        self,
        image_size: Size = 32,
        width: int = 512,
        depth: int = 24,
        heads: int = 8,
        mlp_dim: int | None = None,
        colors: int = 512,
        palette: FilePath | np.ndarray | None = None,
        objective: str = "autoregressive",
        mask_ratio: float = 0.15,
        use_bias: bool = False,
        epsilon: float = 1e-5,
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
        name: str = "image_gpt",
        dtype: str | None = None,
    ) -> None:
        size = pair(image_size, "image_size")
        preprocessing = preprocessing or Preprocessing(image_size=size)
        super().__init__((*size, 3), preprocessing, seed, name, dtype)
        sizes = {"width": width, "depth": depth, "heads": heads, "colors": colors}
        _check(objective, mask_ratio, sizes)
        self.width, self.depth, self.heads = width, depth, heads
        self.mlp_dim = mlp_dim or 4 * width
        self.colors = colors
        self.objective, self.mask_ratio = objective, mask_ratio
        self.use_bias, self.epsilon = use_bias, epsilon
        self.length = size[0] * size[1]
        self.blocks = [self._block(index) for index in range(depth)]
        self.norm = RMSNorm(epsilon, dtype=dtype, name="norm")
        self.head = keras.layers.Dense(
            colors,
            use_bias=False,
            kernel_initializer="zeros",
            dtype="float32",
            name="head",
        )
        self.build((None, *self.image_shape))
        self.palette.assign(_check_palette(palette, colors))

    def _block(self, index):
        return CausalBlock(
            self.heads,
            self.mlp_dim,
            depth=self.depth,
            causal=self.objective == "autoregressive",
            use_bias=self.use_bias,
            epsilon=self.epsilon,
            dtype=self.dtype_policy,
            name=f"block_{index}",
        )

    def build(self, input_shape: Shape) -> None:
        def normal(deviation):
            return keras.initializers.RandomNormal(stddev=deviation)

        self.palette = self.add_weight(
            (self.colors, 3), "zeros", trainable=False, name="palette", autocast=False
        )
        shape = (self.colors + 1, self.width)
        self.embedding = self.add_weight(shape, normal(0.02), name="embedding")
        shape = (self.length, self.width)
        self.position = self.add_weight(shape, normal(0.01), name="position")
        shape = (None, self.length, self.width)
        for layer in (*self.blocks, self.norm, self.head):
            layer.build(shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        tokens = self.tokens(inputs)
        mask = None
        if self.objective == "autoregressive":
            x = self.embed(self.before(tokens))
        else:
            mask = self.draw(ops.shape(tokens), training) < self.mask_ratio
            x = self.embed(tokens, mask)
        scores = self.head(self.hidden(x))
        self.add_loss(self.token_loss(tokens, scores, mask))
        return scores

    def tokens(self, inputs: Tensor) -> Tensor:
        """Palette numbers, (B, H*W) int32, of images or of numbers."""
        if len(inputs.shape) == 2:
            return ops.cast(inputs, "int32")
        self.check_images(inputs)
        dtype, far = keras.backend.standardize_dtype(inputs.dtype), 0.0
        if isinstance(inputs, np.ndarray) and inputs.size:
            far = np.abs(inputs.astype("float32")).max()
        if "int" in dtype or far > FARTHEST:
            raise ValueError(
                f"{self.name}: takes images in -1..1, got {dtype} as far as {far:.3g}. "
                "Divide bytes by 127.5 and take 1 away."
            )
        return quantize(inputs, self.palette)

    def before(self, tokens: Tensor) -> Tensor:
        """Inputs of the prediction: the start token, then all pixels but the last."""
        start = ops.full_like(tokens[:, :1], self.colors)
        return ops.concatenate([start, tokens[:, :-1]], axis=1)

    def embed(
        self, numbers: Tensor, mask: Tensor | None = None, start: int | Tensor = 0
    ) -> Tensor:
        """Embed palette numbers, with positions.

        Args:
            numbers: (B, S) int, V for the start token. mask: (B, S), true where the
                vector is left out, or None. start: place of the first.

        Returns:
            (B, S, D).
        """
        x = ops.take(self.embedding, numbers, axis=0)
        if mask is not None:
            x = x * ops.cast(ops.expand_dims(ops.logical_not(mask), -1), x.dtype)
        table, rows = ops.convert_to_tensor(self.position), numbers.shape[1]
        return x + ops.slice(table, (start, 0), (rows, self.width))

    def hidden(self, x: Tensor, blocks: int | None = None) -> Tensor:
        """Run embedded pixels through the blocks.

        Args:
            x: (B, S, D). blocks: how many; None for all.

        Returns:
            (B, S, D), normalised by what stands next: the norm of the next block, or
            the last.
        """
        blocks = self.depth if blocks is None else blocks
        for block in self.blocks[:blocks]:
            x = block(x)
        return self.norm(x) if blocks == self.depth else self.blocks[blocks].norm1(x)

    def every_hidden(self, x: Tensor) -> Iterator[Tensor]:
        """Yield what `hidden` returns for each number of blocks, in one pass."""
        for block in self.blocks:
            yield block.norm1(x)
            x = block(x)
        yield self.norm(x)

    def token_loss(
        self, tokens: Tensor, scores: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Mean negative log-likelihood, in nats per predicted pixel.

        Args:
            tokens: (B, S) int. scores: (B, S, V). mask: (B, S), true where a pixel
                counts, or None for all; each image counts alike.

        Returns:
            Scalar, float32.
        """
        losses = keras.losses.sparse_categorical_crossentropy(
            tokens, scores, from_logits=True
        )
        if mask is None:
            return ops.mean(losses)
        mask = ops.cast(mask, losses.dtype)
        count = ops.maximum(ops.sum(mask, axis=1), 1.0)
        return ops.mean(ops.sum(losses * mask, axis=1) / count)

    def to_images(self, tokens: Tensor) -> np.ndarray:
        """Palette numbers (B, H*W) -> images (B, H, W, 3) uint8 numpy array."""
        palette = ops.convert_to_numpy(self.palette)
        pixels = palette[ops.convert_to_numpy(tokens)]
        pixels = np.rint(127.5 * (pixels + 1)).clip(0, 255).astype("uint8")
        return pixels.reshape(-1, *self.image_shape)

    def make_classifier(
        self, classes: int, pooling: str | None = None, **options: Any
    ) -> ImageModel:
        """See `classifier_from`.

        Args:
            classes: K. pooling: "gap" or None; there is no other.
            **options: `generative`, weight of the painting loss beside the loss of the
                classes, 1 in the paper; `labels`; `name`.
        """
        from keras_vit.models.image_gpt_features import make_classifier

        return make_classifier(self, classes, pooling, **options)

    def get_config(self) -> Config:
        """Plain values that rebuild this model; the palette is among its weights."""
        names = ("width", "depth", "heads", "mlp_dim", "colors", "objective")
        names += ("mask_ratio", "use_bias", "epsilon", "seed", "name")
        return {
            **{name: getattr(self, name) for name in names},
            "image_size": list(self.image_shape[:2]),
            "preprocessing": self.preprocessing.get_config(),
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Rebuild from `get_config`; the palette comes with the weights."""
        return super().from_config(
            {**config, "palette": np.zeros((config["colors"], 3))}
        )

    @classmethod
    def from_checkpoint(cls, path: FilePath, **options: Any) -> Self:
        """Read a published image GPT.

        Args:
            path: a transformers folder of ImageGPT, or an .npz with the names of the
                TensorFlow checkpoint.
            **options: of the model, where a file cannot tell: `heads`, `image_size`,
                `palette`, `objective`, `dtype`.

        Returns:
            `ImageGPT`.

        Raises:
            CheckpointError: for another model, or a damaged file.
            WeightsMismatch: when arrays have no counterpart.
        """
        from keras_vit.weights.image_gpt import load

        return load(cls, path, **options)


# Size -> (width, blocks, heads), Chen et al. 2020, section 3.3 and the released code.
SIZES = {"S": (512, 24, 8), "M": (1024, 36, 8), "L": (1536, 48, 16)}


def _build(size: str, name: str, options: Config) -> ImageGPT:
    width, depth, heads = SIZES[size]
    return ImageGPT(width=width, depth=depth, heads=heads, name=name, **options)


def ImageGPT_S(name: str = "ImageGPT_S", **options: Any) -> ImageGPT:
    """Build image GPT S with random weights.

    Args:
        name: of the model. **options: of `ImageGPT`, such as image_size, palette.

    Returns:
        `ImageGPT`, (B, 32, 32, 3) -> (B, 1024, 512) logits.

    Source:
        Chen et al. 2020, section 3.3.
    """
    return _build("S", name, options)


def ImageGPT_M(name: str = "ImageGPT_M", **options: Any) -> ImageGPT:
    """Build image GPT M with random weights.

    Args:
        name: of the model. **options: of `ImageGPT`, such as image_size, palette.

    Returns:
        `ImageGPT`, (B, 32, 32, 3) -> (B, 1024, 512) logits.

    Source:
        Chen et al. 2020, section 3.3.
    """
    return _build("M", name, options)


def ImageGPT_L(name: str = "ImageGPT_L", **options: Any) -> ImageGPT:
    """Build image GPT L with random weights.

    Args:
        name: of the model. **options: of `ImageGPT`, such as image_size, palette.

    Returns:
        `ImageGPT`, (B, 32, 32, 3) -> (B, 1024, 512) logits.

    Source:
        Chen et al. 2020, section 3.3.
    """
    return _build("L", name, options)


def bits(nats):
    """Convert nats to bits.

    >>> round(bits(2.0895), 4)
    3.0145
    """
    return nats / math.log(2)


def _check(objective, mask_ratio, sizes):
    check_choice("objective", objective, OBJECTIVES)
    for name, value in sizes.items():
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(
                f"{name}: must be a whole number, at least 1, got {value!r}. Published "
                "models have width=512, depth=24, heads=8, colors=512."
            )
    width, heads = sizes["width"], sizes["heads"]
    if not is_share(mask_ratio):
        raise ValueError(
            f"mask_ratio: must be between 0 and 1, got {mask_ratio!r}. Use 0.15."
        )
    if width % heads:
        raise ValueError(
            f"heads: must divide the width, got width={width}, heads={heads}. Use "
            f"heads={max(1, width // 64)}, for example."
        )


def _check_palette(palette, colors):
    if palette is None:
        return grid_palette(colors)
    if isinstance(palette, str | os.PathLike):
        palette = read_palette(palette)
    palette = np.asarray(palette, "float32")
    if palette.shape != (colors, 3) or not (np.abs(palette) <= 1.01).all():
        raise ValueError(
            f"palette: must be ({colors}, 3) colours in -1..1, got shape "
            f"{palette.shape} from {palette.min():.3g} to {palette.max():.3g}. Divide "
            "bytes by 127.5 and take 1 away, or pass colors=the number of rows."
        )
    return palette
