"""The optimisers of the papers, each as its formula.

Every one of them takes `rates` and, LARS aside, `weight_decay` and `decays` as the
mixins `Rates` and `Decay` explain them, and all arguments of
`keras.optimizers.Optimizer`. In the formulas g is the gradient, p the weight, lr the
learning rate of the step, and t counts steps from 1.
"""

import keras
from keras import ops

from keras_vit.private_keras import variable_index
from keras_vit.training.optim.param_groups import Decay, Rates

register = keras.saving.register_keras_serializable("keras_vit")


def _moments(optimizer, gradient, variable):
    """Adam's direction, from its two moments brought up to date."""
    index = variable_index(optimizer, variable)
    gradient = ops.cast(gradient, variable.dtype)
    first, second = optimizer._first[index], optimizer._second[index]
    step = ops.cast(optimizer.iterations + 1, variable.dtype)
    b1, b2 = optimizer.beta_1, optimizer.beta_2
    optimizer.assign(first, b1 * first + (1.0 - b1) * gradient)
    optimizer.assign(second, b2 * second + (1.0 - b2) * ops.square(gradient))
    mean = first / (1.0 - ops.power(b1, step))
    square = second / (1.0 - ops.power(b2, step))
    return mean / (ops.sqrt(square) + optimizer.epsilon)


def _ratio(variable, step, trust=1.0):
    """`trust * |variable| / |step|` where both norms are above 0, else 1."""
    # ops.norm takes no axes above two, and some weights have three.
    size, length = (ops.sqrt(ops.sum(ops.square(x))) for x in (variable, step))
    ratio = trust * size / ops.maximum(length, 1e-30)
    return ops.where((size > 0) & (length > 0), ratio, 1.0)


class _Rule(keras.optimizers.Optimizer):
    """What the rules below share: their options as attributes and in the config.

    `options` are names of attributes, `slots` names of memories per variable.
    """

    options: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate, name, **options):
        given = {key: options.pop(key) for key in self.options}
        super().__init__(learning_rate=learning_rate, name=name, **options)
        for key, value in given.items():
            setattr(self, key, value)

    def build(self, variables):
        """Make the moments, zeros in the shape of each variable."""
        if self.built:
            return
        super().build(variables)
        for slot in self.slots:
            made = [self.add_variable_from_reference(v, slot) for v in variables]
            setattr(self, f"_{slot}", made)

    def get_config(self):
        """Plain values that rebuild this optimiser."""
        config = super().get_config()
        config.pop("weight_decay", None)
        return {**config, **{key: getattr(self, key) for key in self.options}}


class _Adam(_Rule):
    options, slots = ("beta_1", "beta_2", "epsilon"), ("first", "second")

    def __init__(
        self,
        learning_rate=1e-3,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        name=None,
        **options,
    ):
        options |= {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
        super().__init__(learning_rate, name, **options)

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        step = _moments(self, gradient, variable)
        self.assign_sub(variable, learning_rate * step)


@register
class AdamW(Rates, Decay, _Adam):
    """Adam with decoupled weight decay.

    `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, `u = (m / (1 - b1^t)) /
    (sqrt(v / (1 - b2^t)) + epsilon)`, `p -= lr (u + weight_decay p)`. Keras' own
    AdamW adds epsilon before the correction of v, which is another number in the
    first hundreds of steps.

    Args:
        learning_rate: number or schedule. beta_1: b1. beta_2: b2. epsilon: 1e-8.
        name, **options: see the module.

    Source:
        Loshchilov and Hutter 2017, arXiv:1711.05101; as optax and PyTorch.
    """


class _Lamb(_Adam):
    decoupled = False  # its decay is part of the step whose size it sets

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        step = _moments(self, gradient, variable)
        decay = self.decay_of(variable)
        if decay:
            step = step + decay * variable
            step = step * _ratio(variable, step)
        self.assign_sub(variable, learning_rate * step)


@register
class LAMB(Rates, Decay, _Lamb):
    """AdamW whose step on each decaying matrix has the size of the matrix.

    With u as in `AdamW` and `d = u + weight_decay p`: `p -= lr (|p| / |d|) d` where
    weights decay and both norms are above 0, else `p -= lr d`.

    Args:
        learning_rate, beta_1, beta_2, epsilon: see `AdamW`.
        name, **options: see the module.

    Source:
        You et al. 2019, arXiv:1904.00962, in the form of Apex' FusedLAMB (DeiT-III).
    """


class _Momentum(_Rule):
    options, slots = ("momentum", "nesterov"), ("velocity",)

    def __init__(
        self, learning_rate=0.01, momentum=0.9, nesterov=False, name=None, **options
    ):
        options |= {"momentum": momentum, "nesterov": nesterov}
        super().__init__(learning_rate, name, **options)

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        velocity = self._velocity[variable_index(self, variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(velocity, self.momentum * velocity + gradient)
        ahead = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, learning_rate * ahead)


@register
class Momentum(Rates, Decay, _Momentum):
    """SGD with momentum: `m = momentum m + g`, `p -= lr (m + weight_decay p)`.

    The learning rate stands outside of m, as in vit_jax, big_vision and PyTorch;
    `keras.optimizers.SGD` puts it inside, which differs where it changes with time.
    They keep m in bfloat16, we in the dtype of the weight.

    Args:
        learning_rate: number or schedule. momentum: 0..1.
        nesterov: whether the step looks ahead: `p -= lr (g + momentum m)`.
        name, **options: see the module.
    """


@register
class Lion(Rates, Decay, keras.optimizers.Lion):
    """The sign of a momentum: small state, rates 3 to 10 times below AdamW's.

    `p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p)`, `m = b2 m + (1 - b2) g`.

    Args:
        learning_rate: number or schedule. beta_1: b1, 0.9. beta_2: b2, 0.99.
        name, **options: see the module.

    Source:
        Chen et al. 2023, arXiv:2302.06675, algorithm 2.
    """


class _Factored(_Rule):
    options = ("decay_rate", "beta_2", "momentum", "smallest")
    slots = ("velocity",)

    def __init__(
        self,
        learning_rate=1e-3,
        decay_rate=0.8,
        beta_2=0.999,
        momentum=0.9,
        smallest=32,
        name=None,
        **options,
    ):
        options |= {"decay_rate": decay_rate, "beta_2": beta_2}
        options |= {"momentum": momentum, "smallest": smallest}
        super().__init__(learning_rate, name, **options)

    def build(self, variables):
        """Make the moments: a row and a column for large matrices."""
        if self.built:
            return
        super().build(variables)
        self._squares = [self._square_slots(v) for v in variables]

    def _axes(self, shape):
        """The second largest axis and the largest, or None for small weights."""
        order = sorted(range(len(shape)), key=lambda axis: shape[axis])
        if len(shape) < 2 or shape[order[-2]] < self.smallest:
            return None
        return order[-2], order[-1]

    def _square_slots(self, variable):
        shape, axes = tuple(variable.shape), self._axes(variable.shape)
        if axes is None:
            return [self.add_variable_from_reference(variable, "square")]
        made = []
        for name, gone in (("row", axes[1]), ("column", axes[0])):
            kept = tuple(n for axis, n in enumerate(shape) if axis != gone)
            made.append(
                self.add_variable(
                    kept, dtype=variable.dtype, name=f"{variable.name}_{name}"
                )
            )
        return made

    def _direction(self, gradient, variable, rate):
        """The gradient over the root of its mean square."""
        slots = self._squares[variable_index(self, variable)]
        square = ops.square(gradient) + 1e-30
        axes = self._axes(variable.shape)
        if axes is None:
            self.assign(slots[0], rate * slots[0] + (1.0 - rate) * square)
            return gradient * ops.rsqrt(slots[0])
        small, large = axes
        for slot, gone in zip(slots, (large, small), strict=True):
            mean = ops.mean(square, axis=gone)
            self.assign(slot, rate * slot + (1.0 - rate) * mean)
        rows, columns = slots
        axis = small - 1 if small > large else small
        rows = rows / ops.mean(rows, axis=axis, keepdims=True)
        rows, columns = ops.rsqrt(rows), ops.rsqrt(ops.convert_to_tensor(columns))
        rows, columns = ops.expand_dims(rows, large), ops.expand_dims(columns, small)
        return gradient * rows * columns

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        step = ops.cast(self.iterations + 1, variable.dtype)
        rate = ops.minimum(self.beta_2, 1.0 - ops.power(step, -self.decay_rate))
        gradient = ops.cast(gradient, variable.dtype)
        direction = self._direction(gradient, variable, rate)
        velocity = self._velocity[variable_index(self, variable)]
        fresh = (1.0 - self.momentum) * direction
        self.assign(velocity, self.momentum * velocity + fresh)
        self.assign_sub(variable, learning_rate * velocity)


@register
class Adafactor(Rates, Decay, _Factored):
    """Adam with the second moment of rows and columns instead of whole matrices.

    With `r = min(beta_2, 1 - t^-decay_rate)` the mean square of g is kept per row R
    and per column C of weights whose two largest axes have `smallest` units or more:
    `u = g / sqrt(R C / mean(R))`, for others as a whole; then
    `m = momentum m + (1 - momentum) u`, `p -= lr (m + weight_decay p)`. No clipping
    of u, no scaling by the size of p. big_vision keeps m in bfloat16.

    Args:
        learning_rate: number or schedule. decay_rate: 0.8. beta_2: cap of r.
        momentum: 0..1. smallest: axis that is worth factoring, units.
        name, **options: see the module.

    Source:
        Shazeer and Stern 2018, arXiv:1804.04235, in the form of big_vision's
        `scale_by_adafactor` (Zhai et al. 2021, arXiv:2106.04560, section 3.4).
    """


class _Trust(_Rule):
    options, slots = ("momentum", "decay", "trust"), ("m",)

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
        options |= {"momentum": momentum, "decay": weight_decay, "trust": trust}
        super().__init__(learning_rate, name, **options)

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(gradient, variable.dtype)
        if len(variable.shape) > 1:
            step = step + self.decay * variable
            step = step * _ratio(variable, step, self.trust)
        slot = self._m[variable_index(self, variable)]
        self.assign(slot, self.momentum * slot + step)
        self.assign_sub(variable, rate * slot)

    def get_config(self):
        """Plain values that rebuild this optimiser."""
        config = super().get_config()
        return {**config, "weight_decay": config.pop("decay")}


@register
class LARS(Rates, _Trust):
    """Momentum whose step on each matrix is scaled to the size of the matrix.

    For weights of two axes and more: `d = g + weight_decay * p`, then
    `d *= trust * |p| / |d|` where both norms are above 0. For vectors `d = g`.
    Then `m = momentum * m + d` and `p -= lr * m`.

    Args:
        learning_rate: number or schedule.
        momentum: 0..1. weight_decay: share of a matrix, 0 or more.
        trust: trust coefficient.
        name, **options: see the module; there is no `decays`.

    Source:
        You et al. 2017, arXiv:1708.03888, algorithm 1, in the form of MAE's linear
        probe.
    """
