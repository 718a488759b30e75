"""Optimisers: which weights decay, and how gradients are clipped."""

import keras
import tensorflow as tf


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
