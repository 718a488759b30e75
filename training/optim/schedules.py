"""Learning rate schedules: the rate as a function of the step."""

import inspect
import math

import keras
from keras import ops

from keras_vit.training.optim import named_options


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate: a shape, times a linear warm-up from 0 and a cool-down to 0.

    At step t, counted from 0 (the first update uses t = 0, hence a learning rate
    of 0 when there is a warm-up), with T steps in all:
    `shape(t) * min(1, t / W) * clip((T - t) / C, 0, 1)`.

    Args:
        peak: highest learning rate.
        total_steps: T, steps of the whole run.
        warmup_steps: W, steps of growth, 0 or more and below T.
        cooldown_steps: C, steps of the fall, 0 or more; W + C at most T.

    Raises:
        ValueError: when warm-up and cool-down do not fit into the run.

    Source:
        vit_jax and big_vision, `create_learning_rate_schedule`.
    """

    def __init__(self, peak, total_steps, warmup_steps=0, cooldown_steps=0):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps: must be 0 or more and below total_steps={total_steps}, "
                f"got {warmup_steps}. Shorten the warm-up, or train longer."
            )
        if not 0 <= cooldown_steps <= total_steps - warmup_steps:
            raise ValueError(
                "cooldown_steps: must be 0 or more and at most "
                f"{total_steps - warmup_steps}, the steps after the warm-up, got "
                f"{cooldown_steps}. Shorten the cool-down, or train longer."
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)
        self.cooldown_steps = int(cooldown_steps)

    def shape(self, step):
        """Learning rate at a float32 step, before rise and fall."""
        return self.peak + 0.0 * step

    def progress(self, step):
        """Share of the steps after the warm-up that are done, 0..1."""
        left = self.total_steps - self.warmup_steps
        return ops.clip((step - self.warmup_steps) / left, 0.0, 1.0)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = self.shape(step)
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, step / self.warmup_steps)
        if self.cooldown_steps:
            left = (self.total_steps - step) / self.cooldown_steps
            rate = rate * ops.clip(left, 0.0, 1.0)
        return rate

    def get_config(self):
        """Plain values that rebuild this schedule."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("keras_vit")
class WarmupConstant(Schedule):
    """Grow linearly from 0, then stay at the peak; see `Schedule`.

    >>> schedule = WarmupConstant(1.0, total_steps=6, warmup_steps=2, cooldown_steps=2)
    >>> [round(float(schedule(t)), 4) for t in range(7)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
    """


@keras.saving.register_keras_serializable("keras_vit")
class WarmupCosine(Schedule):
    """Grow linearly from 0, then fall along half a cosine; see `Schedule`.

    `shape(t) = final + (peak - final) * (1 + cos(pi * p)) / 2`,
    p = clip((t - W) / (T - W), 0, 1).

    Args:
        peak, total_steps, warmup_steps, cooldown_steps: see `Schedule`.
        final: learning rate at the end.

    >>> schedule = WarmupCosine(1.0, total_steps=6, warmup_steps=2)
    >>> [round(float(schedule(t)), 4) for t in range(7)]
    [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    def __init__(self, peak, total_steps, warmup_steps=0, cooldown_steps=0, final=0.0):
        super().__init__(peak, total_steps, warmup_steps, cooldown_steps)
        self.final = float(final)

    def shape(self, step):
        """Half a cosine from the peak to the final rate."""
        wave = 0.5 * (1.0 + ops.cos(math.pi * self.progress(step)))
        return self.final + (self.peak - self.final) * wave


@keras.saving.register_keras_serializable("keras_vit")
class WarmupLinear(Schedule):
    """Grow linearly from 0, then fall linearly; see `Schedule`.

    `shape(t) = final + (peak - final) * (1 - p)`, p as in `WarmupCosine`.

    Args:
        peak, total_steps, warmup_steps, cooldown_steps: see `Schedule`.
        final: learning rate at the end; vit_jax has 1e-5 here, big_vision 0.

    >>> schedule = WarmupLinear(1.0, total_steps=6, warmup_steps=2, final=0.2)
    >>> [round(float(schedule(t)), 4) for t in range(7)]
    [0.0, 0.5, 1.0, 0.8, 0.6, 0.4, 0.2]
    """

    def __init__(self, peak, total_steps, warmup_steps=0, cooldown_steps=0, final=0.0):
        super().__init__(peak, total_steps, warmup_steps, cooldown_steps)
        self.final = float(final)

    def shape(self, step):
        """A straight line from the peak to the final rate."""
        fall = 1.0 - self.progress(step)
        return self.final + (self.peak - self.final) * fall


@keras.saving.register_keras_serializable("keras_vit")
class WarmupRsqrt(Schedule):
    """Grow linearly, then fall with the root of time, then cool down to 0.

    `shape(t) = peak / sqrt(1 + (max(t - W, 0) + shift) / timescale)`. Until the
    cool-down it does not depend on the end, so that one long run serves several
    lengths.

    Args:
        peak, total_steps, warmup_steps, cooldown_steps: see `Schedule`.
        timescale: steps. shift: steps.

    Source:
        big_vision; Zhai et al. 2021, arXiv:2106.04560, section 3.5.

    >>> schedule = WarmupRsqrt(1.0, 9, 2, 2, timescale=1)
    >>> [round(float(schedule(t)), 4) for t in (0, 1, 2, 5, 8, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.189, 0.0]
    """

    def __init__(
        self,
        peak,
        total_steps,
        warmup_steps=0,
        cooldown_steps=0,
        timescale=10_000,
        shift=0,
    ):
        super().__init__(peak, total_steps, warmup_steps, cooldown_steps)
        self.timescale = timescale
        self.shift = shift

    def shape(self, step):
        """One over the root of time."""
        time = ops.maximum(step - self.warmup_steps, 0.0) + self.shift
        return self.peak / ops.sqrt(1.0 + time / self.timescale)


@keras.saving.register_keras_serializable("keras_vit")
class WarmupSteps(Schedule):
    """Grow linearly, then fall by a factor at given steps; see `Schedule`.

    `shape(t) = peak * factor ** (number of drops s with s < t)`.

    Args:
        peak, total_steps, warmup_steps, cooldown_steps: see `Schedule`.
        drop_steps: steps after which the rate falls.
        factor: of each fall, 0..1.

    Source:
        Kolesnikov et al. 2019, arXiv:1912.11370 (BiT), code `bit_hyperrule.py`.

    >>> schedule = WarmupSteps(1.0, 6, 2, drop_steps=(3, 4))
    >>> [round(float(schedule(t)), 4) for t in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.1, 0.01]
    """

    def __init__(
        self,
        peak,
        total_steps,
        warmup_steps=0,
        cooldown_steps=0,
        drop_steps=(),
        factor=0.1,
    ):
        super().__init__(peak, total_steps, warmup_steps, cooldown_steps)
        self.drop_steps = [int(step) for step in drop_steps]
        self.factor = float(factor)

    def shape(self, step):
        """A staircase."""
        rate = self.peak + 0.0 * step
        for drop in self.drop_steps:
            rate = rate * ops.where(step > drop, self.factor, 1.0)
        return rate


@keras.saving.register_keras_serializable("keras_vit")
class EpochCosine(Schedule):
    """DeiT's cosine: one learning rate per epoch, and the first one twice.

    In epoch k, counted from 0, with e = max(0, k - 1), E epochs in all, of which w
    are warm-up: `first + e * (peak - first) / w` while e < w, then
    `final + (peak - final) * (1 + cos(pi * e / E)) / 2`: the phase of the cosine is
    not shifted by the warm-up.

    Args:
        peak: highest learning rate. total_steps: of the whole run.
        warmup_steps: steps; made into whole epochs.
        epochs: E. first: learning rate of the start. final: of the end.

    Source:
        facebookresearch/deit with timm's CosineLRScheduler, which is stepped after
        each epoch with the number of that epoch.

    >>> schedule = EpochCosine(1.0, 8, 4, epochs=4, first=0.0, final=0.0)
    >>> [round(float(schedule(t)), 4) for t in range(8)]
    [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]
    """

    def __init__(
        self, peak, total_steps, warmup_steps=0, epochs=1, first=1e-6, final=1e-5
    ):
        super().__init__(peak, total_steps, warmup_steps)
        self.epochs = int(epochs)
        self.first = float(first)
        self.final = float(final)

    def __call__(self, step):
        per_epoch = self.total_steps / self.epochs
        epoch = ops.floor(ops.cast(step, "float32") / per_epoch)
        count = ops.maximum(epoch - 1.0, 0.0)
        phase = math.pi * ops.minimum(count / self.epochs, 1.0)
        rate = self.final + (self.peak - self.final) * 0.5 * (1.0 + ops.cos(phase))
        warm = round(self.warmup_steps / per_epoch)
        if not warm:
            return rate
        rise = self.first + count * (self.peak - self.first) / warm
        return ops.where(count < warm, rise, rate)


SCHEDULES = {
    "cosine": WarmupCosine,
    "linear": WarmupLinear,
    "rsqrt": WarmupRsqrt,
    "constant": WarmupConstant,
    "steps": WarmupSteps,
    "epoch_cosine": EpochCosine,
}


def steps_of(duration, total_steps, steps_per_epoch, batch_size):
    """A duration in steps.

    Args:
        duration: share of the run, 0..1, or text: "10000 steps", "5 epochs",
            "40000 examples", "10%".
        total_steps: of the run. steps_per_epoch, batch_size: of the run.

    Returns:
        int; at least 1 for epochs and examples, as in big_vision.

    Raises:
        ValueError: for a text that is no duration.

    >>> [steps_of(d, 1000, 100, 32) for d in (0.05, "7 steps", "1.5 epochs", "10%")]
    [50, 7, 150, 100]
    """
    if not isinstance(duration, str):
        return round(duration * total_steps)
    number, _, unit = duration.strip().replace("%", " %").partition(" ")
    try:
        number = float(number)
    except ValueError:
        number = -1.0
    scales = {
        "steps": 1.0,
        "epochs": steps_per_epoch,
        "examples": 1.0 / batch_size,
        "%": total_steps / 100.0,
    }
    unit = unit.strip()
    if unit not in scales or number < 0:
        raise ValueError(
            f"duration: must be a share of the run, 0..1, or like '500 steps', "
            f"'5 epochs', '40000 examples', '10%', got {duration!r}."
        )
    least = 1 if unit in ("epochs", "examples") and number else 0
    return max(least, round(number * scales[unit]))


def check(where, given):
    """Class and options of a schedule by name, or by dict; see `choices.read`."""
    return named_options.read(where, given, SCHEDULES, _options)


def _options(kind):
    """Names of what a schedule takes beside the fields of a recipe."""
    fixed = ("peak", "total_steps", "warmup_steps", "epochs")
    names = inspect.signature(kind).parameters
    return [name.removesuffix("_steps") for name in names if name not in fixed]


def make_schedule(recipe, epochs, steps_per_epoch):
    """The schedule of a run.

    Args:
        recipe: `Recipe`. epochs: of the run. steps_per_epoch: of the run.

    Returns:
        `Schedule`. A warm-up that is a share ends before the run does.

    Raises:
        ValueError: for a warm-up in steps that is longer than the run.
    """
    kind, options = check("schedule", recipe.schedule)
    total = epochs * steps_per_epoch
    parameters = inspect.signature(kind).parameters

    def count(duration):
        return steps_of(duration, total, steps_per_epoch, recipe.batch_size)

    for key in [key for key in options if f"{key}_steps" in parameters]:
        value = options.pop(key)
        many = isinstance(value, tuple | list)
        options[f"{key}_steps"] = list(map(count, value)) if many else count(value)
    if "epochs" in parameters:
        options["epochs"] = epochs
    warmup = count(recipe.warmup)
    if not isinstance(recipe.warmup, str):
        warmup = min(warmup, total - 1)
    return kind(recipe.learning_rate, total, warmup, **options)
