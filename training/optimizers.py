"""Optimisers: which weights decay, and how gradients are clipped."""

import keras
import tensorflow as tf
from keras import ops


def decays(variable):
    """Whether weight decay applies: to kernels only.

    Biases, norms, class tokens and position tables are left alone, as
    big_vision's mask `.*/kernel$` does.
    """
    return variable.name == "kernel"


def make_adamw(recipe, schedule, model, replicas):
    """AdamW that decays kernels only and clips all gradients together.

    `p -= lr(t) * (adam(g) + weight_decay * p)`.

    Args:
        recipe: `Recipe`. schedule: step -> learning rate.
        model: built; its trainable variables are sorted into two groups.
        replicas: devices that share each step.

    Returns:
        Keras optimiser; wrapped for loss scaling when the model computes in
        float16.
    """
    kind = keras.optimizers.AdamW if replicas == 1 else ReplicaAdamW
    optimizer = kind(
        schedule,
        weight_decay=recipe.weight_decay,
        beta_2=recipe.beta_2,
        global_clipnorm=recipe.clipnorm,
        use_ema=recipe.ema is not None,
        ema_momentum=recipe.ema or 0.0,
    )
    spared = [v for v in model.trainable_variables if not decays(v)]
    optimizer.exclude_from_weight_decay(var_list=spared)
    policies = {layer.dtype_policy.name for layer in model._flatten_layers()}
    if "mixed_float16" in policies:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@keras.saving.register_keras_serializable("keras_vit")
class ReplicaAdamW(keras.optimizers.AdamW):
    """AdamW whose global clipping is right on several devices.

    Keras clips the gradient of each device before they are summed, which is
    another training. Here the sum is clipped.
    """

    def _clip_gradients(self, grads):
        return grads

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        values = [getattr(v, "value", v) for v in trainable_variables]
        pairs = self._all_reduce_sum_gradients(list(zip(grads, values, strict=True)))
        if self.global_clipnorm is not None:
            summed, values = zip(*pairs, strict=True)
            clipped, _ = tf.clip_by_global_norm(summed, self.global_clipnorm)
            pairs = list(zip(clipped, values, strict=True))
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._distributed_tf_update_step,
            self._distribution_strategy,
            pairs,
            learning_rate,
        )


@keras.saving.register_keras_serializable("keras_vit")
class LARS(keras.optimizers.Optimizer):
    """Momentum whose step on each matrix is scaled to the size of the matrix.

    For weights of two axes and more: `d = g + weight_decay * p`, then
    `d *= trust * |p| / |d|` where both norms are above 0. For vectors `d = g`.
    Then `m = momentum * m + d` and `p -= lr * m`.

    Args:
        learning_rate: number or schedule.
        momentum: 0..1. weight_decay: share of a matrix, 0 or more.
        trust: trust coefficient.
        name, **options: as in `keras.optimizers.Optimizer`.

    Source:
        You et al. 2017, arXiv:1708.03888, algorithm 1, in the form of MAE's linear
        probe.
    """

    def __init__(
        self,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0,
        trust=0.001,
        name="lars",
        **options,
    ):
        # Keras' own decay is another rule, so that it never hears of this one.
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.momentum, self.decay, self.trust = momentum, weight_decay, trust

    def build(self, variables):
        """Make one slot of momentum per variable."""
        if self.built:
            return
        super().build(variables)
        self._slots = [self.add_variable_from_reference(v, "m") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(gradient, variable.dtype)
        if len(variable.shape) > 1:
            step = step + self.decay * variable
            size, length = ops.norm(variable), ops.norm(step)
            scale = self.trust * size / ops.maximum(length, 1e-30)
            step = step * ops.where((size > 0) & (length > 0), scale, 1.0)
        slot = self._slots[self._get_variable_index(variable)]
        self.assign(slot, self.momentum * slot + step)
        self.assign_sub(variable, rate * slot)

    def get_config(self):
        """Plain values that rebuild this optimiser."""
        config = super().get_config()
        config.pop("weight_decay", None)
        return {
            **config,
            "momentum": self.momentum,
            "weight_decay": self.decay,
            "trust": self.trust,
        }
