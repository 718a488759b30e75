"""MoCo v3: contrastive learning with a momentum encoder.

Chen, Xie and He 2021, "An Empirical Study of Training Self-Supervised Vision
Transformers", arXiv:2104.02057.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_vit.models import vit
from keras_vit.models.contrastive import (
    CONTRASTED,
    ContrastHead,
    ContrastiveModel,
    own_places,
    unit,
)
from keras_vit.types import Config, Shape, Tensor


@keras.saving.register_keras_serializable("keras_vit")
class MoCoV3(ContrastiveModel):
    """An encoder trained to predict its momentum encoder's output for another view.

    The patch projection stays as it was drawn, positions are fixed sines and cosines.
    `compile(optimizer)` without a loss, then `fit` on pairs of views, which
    `load_data(..., augment="moco_v3")` gives: the loss is inside. Labels are not looked
    at. `classifier_from(model, classes)` gives a classifier with the encoder's weights,
    all of which learn.

    Args:
        projection_dim: D', length of the vectors that are compared.
        hidden_dim: units of the hidden layers of both heads.
        temperature: of the loss, above 0.
        momentum: share of itself that the average keeps in a step, 0..1, at first. In
            a run of `training.fit` it grows to 1 by half a cosine; elsewhere it stays,
            unless `begin` is called.
        **options: fields of `Architecture` for the encoder, such as image_size,
            patch_size, width, depth, heads, mlp_dim, pooling, dtype. Images have
            ImageNet's range unless `preprocessing` says otherwise.

    Call:
        images: (B, 2, H, W, C), two views of each image, prepared. In training every
            call brings the average up to date, before it is asked.

    Returns:
        Dict of "predictions" and "keys", each (B, 2, D') float32 vectors of length 1:
        what is predicted from a view, and what the average says of it.

    Attributes:
        encoder: `ImageModel`, images -> (B, D). momentum_encoder: its average.

    Raises:
        ValueError: for a momentum, a temperature, or options, that cannot be.

    Source:
        arXiv:2104.02057, sections 3 and 4 and algorithm 1; heads of its code.
    """

    fixed: Config = {
        **CONTRASTED,
        "position": "learned",
        "position_prefix": True,
        "class_token": True,
        "registers": 0,
        "conv_stem": None,
    }

    def __init__(
        self,
        projection_dim: int = 256,
        hidden_dim: int = 4096,
        temperature: float = 0.2,
        momentum: float = 0.99,
        **options: Any,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"momentum: must be 0 to 1, got {momentum!r}. Use momentum=0.99."
            )
        super().__init__("moco_v3", temperature, options)
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.momentum = momentum
        self.fix_positions()
        self._fix_patches()
        inner = (hidden_dim, hidden_dim, projection_dim)
        self.projector = self._head(inner, "projector")
        self.predictor = self._head((hidden_dim, projection_dim), "predictor")
        self.momentum_encoder = vit.build(self.arch)
        self.momentum_projector = self._head(inner, "momentum_projector")
        self.build((None, 2, *self.image_shape))

    def _head(self, units, name):
        return ContrastHead(units, dtype="float32", name=name)

    def _fix_patches(self):
        """Freeze a random patch projection."""
        projection = self.encoder.get_layer("patch_encoder").projection
        drawn = keras.initializers.GlorotUniform()
        projection.kernel.assign(drawn(projection.kernel.shape))
        projection.trainable = False

    def build(self, input_shape: Shape) -> None:
        shape = self.encoder.output_shape
        for head in (self.projector, self.momentum_projector):
            head.build(shape)
        self.predictor.build((None, self.projection_dim))
        self.run = self.add_weight((2,), "zeros", trainable=False, name="run")
        for mine, other in self._pairs():
            other.assign(mine + 0.0)  # a copy: JAX would let both share their memory
        copies = (self.momentum_encoder, self.momentum_projector)
        for weight in (w for copy in copies for w in copy.weights):
            weight.trainable = False  # the layer's flag would switch batch norm off

    def _pairs(self):
        """Weights and their moving averages, without batch norm statistics."""
        for mine, other in (
            (self.encoder, self.momentum_encoder),
            (self.projector, self.momentum_projector),
        ):
            for one, two in zip(mine.weights, other.weights, strict=True):
                if not one.name.startswith("moving_"):
                    yield one, two

    def begin(self, steps: int) -> None:
        """Set the number of steps in which the momentum grows to 1."""
        self.run.assign([0.0, float(steps)])

    def momentum_at(self, step: Any, steps: Any) -> Tensor:
        """Momentum of a step: `1 - (1 - m) (1 + cos(pi t / T)) / 2`.

        Args:
            step: t. steps: T; 0 for a momentum that stays.
        """
        wave = 0.5 * (1.0 + ops.cos(math.pi * step / ops.maximum(steps, 1.0)))
        wave = ops.where(steps > 0, wave, 1.0)
        return 1.0 - (1.0 - self.momentum) * wave

    def call(self, images: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        images = self.flat(images)
        features = self.encoder(images, training=training)
        heads = (self.projector, self.predictor)
        predictions = self._each_view(features, heads, training)
        if training:
            self.follow()
        features = self.momentum_encoder(images, training=False)
        keys = self._each_view(features, (self.momentum_projector,), training)
        return {"predictions": predictions, "keys": ops.stop_gradient(keys)}

    def _each_view(self, features, heads, training):
        """(2 B, D) -> (B, 2, D'): batch norm of one view at a time."""
        pairs = ops.reshape(features, (-1, 2, features.shape[-1]))
        views = [pairs[:, 0], pairs[:, 1]]
        for head in heads:
            views = [head(view, training=training) for view in views]
        return ops.stack([unit(view) for view in views], axis=1)

    def follow(self) -> None:
        """Update the momentum encoder by one step; count the step."""
        keep = self.momentum_at(self.run[0], self.run[1])
        for mine, other in self._pairs():
            other.assign(keep * other + (1.0 - keep) * mine)
        self.run.assign(self.run + ops.array([1.0, 0.0]))

    def compare(self, answer: dict[str, Tensor]) -> Tensor:
        """InfoNCE loss of queries against the keys of all images.

        With s the cosine over the temperature tau, `2 tau` times the mean over images
        of `-s(q, own key) + log sum over all keys k of exp(s(q, k))`, q the prediction
        from one view and keys of the other; the sum of both ways round.

        Args:
            answer: of `call`, of this device.

        Returns:
            Scalar, float32; its mean over devices is the loss of the whole batch.

        Source:
            arXiv:2104.02057, eq. (1) and algorithm 1.
        """
        queries, keys = answer["predictions"], answer["keys"]
        one = self._find(queries[:, 0], keys[:, 1])
        return one + self._find(queries[:, 1], keys[:, 0])

    def _find(self, queries, keys):
        """Loss of one direction: (b, D') and (b, D')."""
        keys, place = self.gather(keys)
        own = own_places(queries, keys, place)
        scores = ops.matmul(queries, ops.transpose(keys)) / self.temperature
        losses = ops.logsumexp(scores, axis=1) - ops.sum(scores * own, axis=1)
        return 2.0 * self.temperature * ops.mean(losses)

    def get_config(self) -> Config:
        """Plain values that rebuild this model."""
        return {
            **super().get_config(),
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
            "momentum": self.momentum,
        }
