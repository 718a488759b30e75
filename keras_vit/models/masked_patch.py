"""Masked patch prediction: predict the colours of corrupted patches.

Dosovitskiy et al. 2021, arXiv:2010.11929, appendix B.1.2. No code of it is public; what
the paper leaves open is decided here, and said.
"""

from typing import Any

import keras
from keras import ops

from keras_vit.choices import check_choice
from keras_vit.layers import Patches, masking
from keras_vit.layers.patches import pair
from keras_vit.models.pretraining import (
    MASKING,
    MaskedModel,
    encoder_architecture,
    is_share,
)
from keras_vit.ranges import pixel_statistics
from keras_vit.types import Config, Shape, Tensor

COLORS = 512  # 3 bits per channel
SMALL = 4  # side of a patch that was made small
TARGETS = ("mean_color", "small_patch", "pixels")
MASKED, REPLACED = 0.8, 0.1  # shares of the corrupted patches; the rest is kept


@keras.saving.register_keras_serializable("keras_vit")
class MaskedPatchPrediction(MaskedModel):
    """A Vision Transformer that predicts the colours of corrupted patches.

    Of the corrupted patches 80% become a learned token, 10% another patch of the same
    image, 10% stay. Corruption acts on the projected patches, before positions are
    added, as BERT does. `compile(optimizer)` without a loss, then `fit(images)`.

    Args:
        target: "mean_color", the mean colour in 3 bits per channel, one of 512;
            "small_patch", such a colour for each of 4x4 parts; "pixels", all values of
            the patch, in the range of the images.
        mask_ratio: share of corrupted patches, 0..1; floor(N * ratio) are corrupted.
        seed: of the draws; without training they are always the same.
        **options: fields of `Architecture` for the encoder.

    Call:
        images: (B, H, W, 3), prepared.

    Returns:
        Dict of "scores" (B, N, 512), (B, N, 16, 512) or (B, N, P*P*3); "mask" (B, N),
        1 where a patch was corrupted.

    Attributes:
        encoder: `ImageModel`, images -> (B, 1 + N, D).

    Raises:
        ValueError: for an unknown target, a ratio out of range, patches that cannot be
            made 4x4, or options that the method fixes.

    Source:
        arXiv:2010.11929, appendix B.1.2: 50% corrupted; colour of the paper: the mean
        of the bytes divided by 32, rounded down, red first.
    """

    pooled = {"pooling": "token"}

    def __init__(
        self,
        target: str = "mean_color",
        mask_ratio: float = 0.5,
        seed: int = 0,
        **options: Any,
    ) -> None:
        arch = encoder_architecture(
            "masked_patch_prediction", "google", options, MASKING
        )
        _check(target, mask_ratio, arch)
        super().__init__(arch, seed)
        self.target = target
        self.mask_ratio = mask_ratio
        self.patch_count = arch.grid[0] * arch.grid[1]
        self.to_patches = Patches(arch.patch_size, dtype="float32", name="target")
        self.head = keras.layers.Dense(self._units(), dtype="float32", name="head")
        self.build((None, *self.image_shape))

    def _units(self):
        rows, columns = self.arch.patch_size
        pixels = rows * columns * self.arch.channels
        return {
            "mean_color": COLORS,
            "small_patch": SMALL * SMALL * COLORS,
            "pixels": pixels,
        }[self.target]

    def build(self, input_shape: Shape) -> None:
        width = self.arch.width
        normal = keras.initializers.RandomNormal(stddev=0.02, seed=self.seed)
        self.mask_token = self.add_weight((1, 1, width), normal, name="mask_token")
        self.to_patches.build(input_shape)
        self.head.build((None, self.patch_count, width))

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        self.check_images(images)
        layers = self.encoder.get_layer
        embed = layers("patch_encoder")
        projected = embed.projection(layers("patches")(images))
        projected, mask = self.corrupt(projected, training)
        tokens = embed.drop(embed.place(projected), training=training)
        tokens = self.run_blocks(tokens, training)
        scores = self.head(tokens[:, embed.prefix_tokens :])
        if self.target == "small_patch":
            shape = (-1, self.patch_count, SMALL * SMALL, COLORS)
            scores = ops.reshape(scores, shape)
        self.add_loss(self.prediction_loss(images, scores, mask))
        return {"scores": scores, "mask": mask}

    def corrupt(
        self, projected: Tensor, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mask, replace or keep some of the projected patches, at random.

        Args:
            projected: (B, N, D). training: whether each call draws anew.

        Returns:
            (B, N, D), and the mask (B, N), 1 where a patch counts as corrupted.
        """
        count = self.patch_count
        projected = ops.convert_to_tensor(projected)
        draws = self.draw((3, ops.shape(projected)[0], count), training, axis=1)
        kept = count - int(count * self.mask_ratio)
        _, _, mask = masking.choose(draws[0], kept)
        steps = 1 + ops.cast(draws[1] * (count - 1), "int32")
        others = masking.take(projected, (ops.arange(count) + steps) % count)
        corrupted = ops.expand_dims(
            mask * ops.cast(draws[2] < MASKED + REPLACED, "float32"), -1
        )
        hidden = ops.expand_dims(mask * ops.cast(draws[2] < MASKED, "float32"), -1)
        hidden, corrupted = (ops.cast(x, projected.dtype) for x in (hidden, corrupted))
        token = ops.cast(self.mask_token, projected.dtype)
        replaced = hidden * token + (1 - hidden) * others
        return corrupted * replaced + (1 - corrupted) * projected, mask

    def prediction_loss(self, images: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
        """Mean loss of the corrupted patches: cross-entropy, or squared error.

        Args:
            images: (B, H, W, 3). scores: see `Returns` of the class. mask: (B, N).

        Returns:
            Scalar, float32.
        """
        target = self.targets(images)
        scores, mask = map(ops.convert_to_tensor, (scores, mask))
        if self.target == "pixels":
            error = ops.mean(ops.square(scores - target), axis=-1)
        else:
            error = keras.losses.sparse_categorical_crossentropy(
                target, scores, from_logits=True
            )
        if self.target == "small_patch":
            error = ops.mean(error, axis=-1)
        return ops.sum(error * mask) / ops.sum(mask)

    def targets(self, images: Tensor) -> Tensor:
        """Targets of the prediction.

        Returns:
            (B, N) or (B, N, 16) int32 colours, or (B, N, P*P*3) float32 values.
        """
        patches = self.to_patches(images)
        if self.target == "pixels":
            return patches
        parts = SMALL if self.target == "small_patch" else 1
        sides = pair(self.arch.patch_size, "patch_size")
        rows, columns = (side // parts for side in sides)
        # (B*N*parts, rows, parts, columns*3): rows of parts, then columns of parts.
        x = ops.reshape(patches, (-1, rows, parts, columns * 3))
        x = ops.reshape(ops.mean(x, axis=1), (-1, parts, columns, 3))
        colors = self._colors(ops.mean(x, axis=2))  # (B*N*parts, parts)
        if parts == 1:
            return ops.reshape(colors, (-1, self.patch_count))
        return ops.reshape(colors, (-1, self.patch_count, parts * parts))

    def _colors(self, mean):
        """(..., 3) mean colours in the range of the model -> (...) classes."""
        rows = pixel_statistics(self.arch.preprocessing.range)
        shift, scale = (ops.convert_to_tensor(row) for row in rows)
        bins = ops.clip(ops.floor((mean * scale + shift) / 32.0), 0, 7)
        return ops.cast(ops.sum(bins * ops.array([64.0, 8.0, 1.0]), axis=-1), "int32")

    def get_config(self) -> Config:
        """Plain values that rebuild this model."""
        return {
            **super().get_config(),
            "target": self.target,
            "mask_ratio": self.mask_ratio,
        }


def _check(target, ratio, arch):
    check_choice("target", target, TARGETS)
    count = arch.grid[0] * arch.grid[1]
    if not is_share(ratio, most=True) or not int(count * ratio):
        raise ValueError(
            f"mask_ratio: must corrupt at least one of {count} patches, got {ratio!r}. "
            "Use mask_ratio=0.5."
        )
    if arch.channels != 3 and target != "pixels":
        raise ValueError(
            f"channels: colours need 3, got {arch.channels}. Use target='pixels'."
        )
    if target == "small_patch" and any(side % SMALL for side in arch.patch_size):
        raise ValueError(
            f"patch_size: must be a multiple of {SMALL} px for target='small_patch', "
            f"got {arch.patch_size}. Use target='mean_color'."
        )
