"""SimCLR: contrastive learning of two views against all other images.

Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv:2002.05709.
"""

from typing import Any

import keras
from keras import ops

from keras_vit.models.contrastive import (
    ContrastHead,
    ContrastiveModel,
    own_places,
    unit,
)
from keras_vit.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class SimCLR(ContrastiveModel):
    """An encoder with a projection head, trained by the loss NT-Xent.

    `compile(optimizer)` without a loss, then `fit` on pairs of views, which
    `load_data(..., augment="simclr")` gives: the loss is inside. Labels are not looked
    at. `classifier_from(model, classes)` gives a classifier with the encoder's weights.

    Args:
        projection_dim: D', length of the vectors that are compared.
        hidden_dim: units of the head's first layer, None for the width.
        temperature: of the loss, above 0.
        **options: fields of `Architecture` for the encoder, such as image_size,
            patch_size, width, depth, heads, mlp_dim, pooling, dtype. Images have
            ImageNet's range unless `preprocessing` says otherwise.

    Call:
        images: (B, 2, H, W, C), two views of each image, prepared.

    Returns:
        (B, 2, D') float32, vectors of length 1.

    Attributes:
        encoder: `ImageModel`, images -> (B, D).

    Raises:
        ValueError: for a temperature, or options, that cannot be.

    Source:
        arXiv:2002.05709, section 2 and appendix B; the head's norms are those of its
        code. The paper's encoder is a ResNet.
    """

    def __init__(
        self,
        projection_dim: int = 128,
        hidden_dim: int | None = None,
        temperature: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__("simclr", temperature, options)
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim or self.arch.width
        units = (self.hidden_dim, projection_dim)
        self.projector = ContrastHead(units, True, dtype="float32", name="projector")
        self.build((None, 2, *self.image_shape))

    def build(self, input_shape: Shape) -> None:
        self.projector.build(self.encoder.output_shape)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        features = self.encoder(self.flat(images), training=training)
        vectors = unit(self.projector(features, training=training))
        return ops.reshape(vectors, (-1, 2, self.projection_dim))

    def compare(self, vectors: Tensor) -> Tensor:
        """NT-Xent loss over all images of a batch.

        With s the cosine of two views over the temperature, the mean over all views i,
        j the other view of the same image, of
        `-s(i, j) + log sum over k other than i of exp(s(i, k))`.

        Args:
            vectors: (b, 2, D') of length 1, of this device.

        Returns:
            Scalar, float32; its mean over devices is the loss of the whole batch.

        Source:
            arXiv:2002.05709, eq. (1) and algorithm 1.
        """
        first, second = vectors[:, 0], vectors[:, 1]
        all_first, place = self.gather(first)
        all_second, _ = self.gather(second)
        own = own_places(first, all_first, place)
        one = self._half(first, all_first, all_second, own)
        other = self._half(second, all_second, all_first, own)
        return 0.5 * (one + other)

    def _half(self, rows, same, other, own):
        """Mean loss over the rows of one view; `same` are all of that view."""
        alike = ops.matmul(rows, ops.transpose(same)) / self.temperature
        across = ops.matmul(rows, ops.transpose(other)) / self.temperature
        scores = ops.concatenate([across, alike - 1e9 * own], axis=1)
        right = ops.sum(across * own, axis=1)
        return ops.mean(ops.logsumexp(scores, axis=1) - right)

    def get_config(self) -> Config:
        """Plain values that rebuild this model."""
        return {
            **super().get_config(),
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
