"""Masked autoencoder: reconstruct the masked patches of an image.

He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377.
"""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_vit.layers import LayerNorm, Patches, TransformerBlock, masking
from keras_vit.models.pretraining import (
    MASKING,
    MaskedModel,
    encoder_architecture,
    fixed_table,
    is_share,
)
from keras_vit.types import Config, FilePath, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class MaskedAutoencoder(MaskedModel):
    """A Vision Transformer on a quarter of the patches, with a small decoder.

    `compile(optimizer)` without a loss, then `fit(images)`: the loss is inside. Labels
    are not looked at. `classifier_from(model, classes)` gives a classifier with the
    weights of the encoder.

    Args:
        decoder_width, decoder_depth, decoder_heads: of the decoder; its MLP is four
            times as wide as its tokens unless `decoder_mlp_dim` says otherwise.
        decoder_mlp_dim: hidden units of the decoder's MLPs.
        mask_ratio: share of hidden patches, 0..1; floor(N * (1 - ratio)) are seen.
        normalise_pixels: whether each patch of the target has mean 0 and variance 1.
        seed: of the draw that hides patches; without training the draw is always the
            same, so that losses can be compared.
        **options: fields of `Architecture` for the encoder, such as image_size,
            patch_size, width, depth, heads, mlp_dim, drop_path, dtype. Images have
            ImageNet's range unless `preprocessing` says otherwise.

    Call:
        images: (B, H, W, C), prepared.
        noise: (B, N) draw instead of one of its own, or None.

    Returns:
        Dict of "patches" (B, N, P*P*C), the prediction, as in `Patches`; "mask"
        (B, N), 1 where a patch was hidden.

    Attributes:
        encoder: `ImageModel`, images -> (B, 1 + N, D).

    Raises:
        ValueError: for a ratio that leaves nothing to see or to paint, or options that
            the method fixes.

    Source:
        arXiv:2111.06377, sections 3 and 4 and appendix A.
    """

    pooled = {"pooling": "gap", "norm_pooled": True}

    def __init__(
        self,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        decoder_mlp_dim: int | None = None,
        mask_ratio: float = 0.75,
        normalise_pixels: bool = True,
        seed: int = 0,
        **options: Any,
    ) -> None:
        fixed = {**MASKING, "position": "learned"}
        arch = encoder_architecture("mae", "imagenet", options, fixed)
        super().__init__(arch, seed)
        self.decoder_width = decoder_width
        self.decoder_depth = decoder_depth
        self.decoder_heads = decoder_heads
        self.decoder_mlp_dim = decoder_mlp_dim
        self.mask_ratio = mask_ratio
        self.normalise_pixels = normalise_pixels
        self.patch_count = arch.grid[0] * arch.grid[1]
        self.kept = _kept(self.patch_count, mask_ratio)
        self.fix_positions()
        self._make_decoder(arch)
        self.build((None, *self.image_shape))

    def _make_decoder(self, arch):
        width, dtype = self.decoder_width, arch.dtype
        self.to_target = Patches(arch.patch_size, dtype="float32", name="target")
        self.decoder_embed = keras.layers.Dense(width, dtype=dtype, name="embed")
        self.decoder_blocks = [
            TransformerBlock(
                self.decoder_heads,
                self.decoder_mlp_dim or 4 * width,
                activation=arch.activation,
                epsilon=arch.epsilon,
                dtype=dtype,
                name=f"decoder_{index}",
            )
            for index in range(self.decoder_depth)
        ]
        self.decoder_norm = LayerNorm(arch.epsilon, dtype=dtype, name="decoder_norm")
        values = arch.patch_size[0] * arch.patch_size[1] * arch.channels
        self.decoder_head = keras.layers.Dense(values, dtype=dtype, name="pixels")

    def build(self, input_shape: Shape) -> None:
        width, rows = self.decoder_width, 1 + self.patch_count
        normal = keras.initializers.RandomNormal(stddev=0.02, seed=self.seed)
        self.mask_token = self.add_weight((1, 1, width), normal, name="mask_token")
        self.decoder_position = self.add_weight(
            (1, rows, width), "zeros", trainable=False, name="decoder_position"
        )
        self.decoder_position.assign(fixed_table(self.arch.grid, width))
        self.to_target.build(input_shape)
        self.decoder_embed.build((None, None, self.arch.width))
        for layer in (*self.decoder_blocks, self.decoder_norm, self.decoder_head):
            layer.build((None, rows, width))

    def call(
        self, images: Tensor, noise: Tensor | None = None, training: bool | None = None
    ) -> dict[str, Tensor]:
        latent, mask, restore_ids = self.encode(images, noise, training)
        patches = self.decode(latent, restore_ids, training)
        self.add_loss(self.reconstruction_loss(images, patches, mask))
        return {"patches": patches, "mask": mask}

    def encode(
        self, images: Tensor, noise: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the visible patches to latent tokens.

        Args:
            images: (B, H, W, C). noise: (B, N) or None. training: as in `call`.

        Returns:
            (B, 1 + kept, D) tokens, the class token first; mask (B, N); restore_ids
            (B, N), see `keras_vit.layers.masking`.
        """
        self.check_images(images)
        layers = self.encoder.get_layer
        tokens = layers("patch_encoder")(layers("patches")(images), training=training)
        if noise is None:
            noise = self.draw((ops.shape(images)[0], self.patch_count), training)
        ids, restore_ids, mask = masking.choose(noise, self.kept)
        seen = masking.take(tokens[:, 1:], ids)
        tokens = ops.concatenate([tokens[:, :1], seen], axis=1)
        return self.run_blocks(tokens, training), mask, restore_ids

    def decode(
        self, latent: Tensor, restore_ids: Tensor, training: bool | None = None
    ) -> Tensor:
        """Pixels of every patch, (B, N, P*P*C), from the tokens of `encode`."""
        tokens = self.decoder_embed(latent)
        filler = ops.cast(self.mask_token, tokens.dtype)
        patches = masking.restore(tokens[:, 1:], filler, restore_ids)
        tokens = ops.concatenate([tokens[:, :1], patches], axis=1)
        tokens = tokens + ops.cast(self.decoder_position, tokens.dtype)
        for block in self.decoder_blocks:
            tokens = block(tokens, training=training)
        pixels = self.decoder_head(self.decoder_norm(tokens))
        return ops.cast(pixels[:, 1:], "float32")

    def reconstruction_loss(
        self, images: Tensor, patches: Tensor, mask: Tensor
    ) -> Tensor:
        """Mean squared error per value of the hidden patches.

        Args:
            images: (B, H, W, C). patches: (B, N, P*P*C) predicted. mask: (B, N).

        Returns:
            Scalar, float32.
        """
        target = self.to_target(images)
        if self.normalise_pixels:
            mean, deviation = _statistics(target)
            target = (target - mean) / deviation
        error = ops.mean(ops.square(patches - target), axis=-1)
        return ops.sum(error * mask) / ops.sum(mask)

    def reconstruct(
        self, images: Tensor, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the visible patches and the reconstruction.

        Args:
            images: (B, H, W, C), prepared. seed: of the draw.

        Returns:
            Two (B, H, W, C) float32 numpy arrays in the range of `images`: the seen
            patches with the others at 0, and the seen patches with the others painted.
            Where the target is normalised, mean and variance of the true patches are
            given back, as the paper's figures do.
        """
        shape = (len(images), self.patch_count)
        noise = keras.random.uniform(shape, seed=seed)
        images = ops.convert_to_tensor(images, dtype="float32")
        output = self(images, noise=noise, training=False)
        target, painted = self.to_target(images), output["patches"]
        if self.normalise_pixels:
            mean, deviation = _statistics(target)
            painted = painted * deviation + mean
        hidden = ops.expand_dims(output["mask"], -1)
        seen = target * (1.0 - hidden)
        return self._paste(seen), self._paste(seen + painted * hidden)

    def _paste(self, patches):
        """(B, N, P*P*C) -> (B, H, W, C) numpy array."""
        (h, w), (rows, columns) = self.arch.grid, self.arch.patch_size
        shape = (-1, h, w, rows, columns, self.arch.channels)
        patches = ops.convert_to_numpy(patches).reshape(shape)
        images = patches.transpose(0, 1, 3, 2, 4, 5)
        return images.reshape(-1, h * rows, w * columns, self.arch.channels)

    def get_config(self) -> Config:
        """Plain values that rebuild this model."""
        return {
            **super().get_config(),
            "decoder_width": self.decoder_width,
            "decoder_depth": self.decoder_depth,
            "decoder_heads": self.decoder_heads,
            "decoder_mlp_dim": self.decoder_mlp_dim,
            "mask_ratio": self.mask_ratio,
            "normalise_pixels": self.normalise_pixels,
        }

    @classmethod
    def from_checkpoint(cls, path: FilePath, **options: Any) -> Self:
        """Read a masked autoencoder with its decoder.

        Args:
            path: file of facebookresearch/mae with the decoder (".pth", or converted
                to .safetensors), or a transformers folder of ViTMAE.
            **options: of the model, where a file cannot tell: `decoder_heads`,
                `heads`, `normalise_pixels`, `mask_ratio`, `dtype`.

        Returns:
            `MaskedAutoencoder`.

        Raises:
            CheckpointError: when there is no decoder in the file, or it is damaged.
            WeightsMismatch: when arrays have no counterpart.
        """
        from keras_vit.weights.mae import load

        return load(cls, path, **options)


def _kept(count, ratio):
    """Number of visible patches, of `count`."""
    kept = int(count * (1 - ratio)) if is_share(ratio) else 0
    if not 0 < kept < count:
        raise ValueError(
            f"mask_ratio: must mask some of the {count} patches and keep some, got "
            f"{ratio!r}. Use mask_ratio=0.75."
        )
    return kept


def _statistics(target):
    """Mean and standard deviation of each patch; the variance is unbiased."""
    mean = ops.mean(target, axis=-1, keepdims=True)
    count = target.shape[-1]
    variance = ops.sum(ops.square(target - mean), axis=-1, keepdims=True) / (count - 1)
    return mean, ops.sqrt(variance + 1e-6)
