"""Sharpness-aware minimisation (SAM, GSAM): gradients that find flat minima."""

import dataclasses

import keras
import tensorflow as tf

from keras_vit.private_keras import schedule_of


@dataclasses.dataclass(frozen=True)
class Sharpness:
    """Sharpness-aware minimisation: the gradient is taken at perturbed weights.

    SAM: with g the gradient at the weights w, the update follows
    `h = gradient at w + rho * g / |g|`. GSAM: it follows `h - alpha * o`, o the part of
    g at right angles to h, and rho falls with the learning rate from `rho` to
    `rho_min`: `rho_min + (rho - rho_min) * lr / lr_max`.

    The weights are perturbed by the gradient of each micro-batch (what a device works
    on at once) alone, as in the papers' code; h is then summed over all.

    Args:
        rho: norm of the perturbation, above 0.
        rho_min: at the end; None is rho.
        alpha: of GSAM, 0 for SAM.

    Raises:
        ValueError: for a value out of range.

    Source:
        Foret et al. 2020, arXiv:2010.01412, algorithm 1 (SAM); Zhuang et al. 2022,
        arXiv:2203.08065, algorithm 1 (GSAM). Dropout is the same at both places.
    """

    rho: float = 0.05
    rho_min: float | None = None
    alpha: float = 0.0

    def __post_init__(self):
        for name in ("rho", "rho_min", "alpha"):
            value = getattr(self, name)
            least = 0 if name == "alpha" else 1e-12
            if value is not None and not value >= least:
                words = "above 0" if least else "0 or more"
                raise ValueError(
                    f"sharpness: {name} must be {words}, got {value!r}. Use "
                    f"{getattr(Sharpness, name) or 0.05}."
                )

    def length(self, optimizer):
        """rho of this step, which in GSAM follows the learning rate."""
        if self.rho_min is None:
            return self.rho
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        schedule = schedule_of(optimizer)
        share = optimizer.learning_rate / getattr(schedule, "peak", schedule)
        return self.rho_min + (self.rho - self.rho_min) * share

    def gradients(self, model, plain, x, y, sample_weight):
        """Gradients of one micro-batch, by two forward and backward passes.

        Args:
            model: `TrainStep`.
            plain: its gradients, a function of (x, y, sample_weight).
            x, y, sample_weight: as for `TrainStep.gradients`.

        Returns:
            As `TrainStep.gradients`; what was seen is that of the first pass.
        """
        weights = model.trainable_weights
        seeds = [v for v in model.variables if v.dtype in ("uint32", "int32", "int64")]
        before = [(v, tf.identity(v.value)) for v in seeds]
        first, seen = plain(x, y, sample_weight)
        places = [k for k, gradient in enumerate(first) if gradient is not None]
        old = [tf.cast(first[k], tf.float32) for k in places]
        climb = self.length(model.optimizer) / (tf.linalg.global_norm(old) + 1e-12)
        moved = [
            tf.convert_to_tensor(weights[k].value) + climb * gradient
            for k, gradient in zip(places, old, strict=True)
        ]
        pairs = [(weights[k], value) for k, value in zip(places, moved, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(moved)
            with keras.StatelessScope(state_mapping=[*before, *pairs]):
                loss, _ = model.forward_with_loss(x, y, sample_weight)
            loss = model.optimizer.scale_loss(loss)
        new = [tf.convert_to_tensor(g) for g in tape.gradient(loss, moved)]
        found = list(first)
        for k, gradient in zip(places, self._without(old, new), strict=True):
            found[k] = gradient
        return found, seen

    def _without(self, old, new):
        """GSAM: the second gradient, less a share of the first orthogonal to it."""
        if not self.alpha:
            return new
        length = tf.linalg.global_norm(new) + 1e-12
        along = sum(tf.reduce_sum(g * h) for g, h in zip(old, new, strict=True))
        along = along / length**2
        return [h - self.alpha * (g - along * h) for g, h in zip(old, new, strict=True)]
