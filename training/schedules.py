"""Learning rates as functions of the step."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_vit")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Grow linearly from 0, then fall along half a cosine to 0.

    At step t, counted from 0 (the first update uses t = 0, hence a learning
    rate of 0 when there is a warm-up):
    `peak * (1 + cos(pi * p)) / 2 * min(1, t / W)`, p = clip((t - W) / (T - W), 0, 1).

    Args:
        peak: highest learning rate.
        total_steps: T, steps of the whole run.
        warmup_steps: W, steps of growth, 0 or more and below T.

    Raises:
        ValueError: when the warm-up does not end before the run.

    Source:
        vit_jax and big_vision, `create_learning_rate_schedule`.

    >>> schedule = WarmupCosine(1.0, total_steps=6, warmup_steps=2)
    >>> [round(float(schedule(t)), 4) for t in range(7)]
    [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    def __init__(self, peak, total_steps, warmup_steps=0):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps: must be 0 or more and below total_steps={total_steps}, "
                f"got {warmup_steps}. Shorten the warm-up, or train longer."
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        left = self.total_steps - self.warmup_steps
        progress = ops.clip((step - self.warmup_steps) / left, 0.0, 1.0)
        rate = self.peak * 0.5 * (1.0 + ops.cos(math.pi * progress))
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, step / self.warmup_steps)
        return rate

    def get_config(self):
        """Plain values that rebuild this schedule."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
