"""Weight decay and learning rate of each weight, by patterns of their paths.

Keras 3 has one learning rate and one decay per optimiser. Two mixins give each
variable its own: they act inside `update_step`, after whatever was done to gradients
(sums over devices, clipping, accumulation), and are plain dictionaries of patterns,
so that a saved optimiser has them too.
"""

import re

from keras import ops

from keras_vit.private_keras import variable_index

KERNELS = {r"(^|/)kernel$": 1.0}
BLOCK = re.compile(r"^(.*?(?:block|layer)_?(\d+))/")


def decays(variable):
    """Whether weight decay applies by default: to kernels only.

    Biases, norms, class tokens and position tables are left alone, as
    big_vision's mask `.*/kernel$` does.
    """
    return factor(KERNELS, variable.path) != 0.0


def factor(patterns, path, otherwise=0.0):
    """Product of the factors of all patterns that are found in a path.

    Args:
        patterns: regular expression -> factor. path: of a variable.
        otherwise: where no pattern is found.

    >>> factor({"block_1/": 0.5, "kernel$": 0.1}, "block_1/mlp/kernel")
    0.05
    """
    found = [value for text, value in patterns.items() if re.search(text, path)]
    product = 1.0 if found else otherwise
    for value in found:
        product *= value
    return product


def check_factors(where, patterns):
    """Make sure that patterns are regular expressions and factors numbers.

    Raises:
        ValueError: for one that is not.
    """
    for text, value in dict(patterns).items():
        try:
            re.compile(text)
        except re.error as err:
            raise ValueError(
                f"{where}: must have regular expressions as keys, got {text!r} "
                f"({err}). Escape special characters with a backslash."
            ) from err
        if not isinstance(value, int | float) or not value >= 0:
            raise ValueError(
                f"{where}: must have factors of 0 or more, got {value!r} for {text!r}. "
                "Pass 0.1, for example."
            )


def check_patterns(where, patterns, variables):
    """Make sure that each pattern means something.

    Raises:
        ValueError: for a pattern that no variable has.
    """
    paths = [v.path for v in variables]
    for text in patterns:
        if not any(re.search(text, path) for path in paths):
            some = ", ".join(repr(path) for path in paths[:: max(1, len(paths) // 5)])
            raise ValueError(
                f"{where}: must be found in the path of a variable, got {text!r}. "
                f"Paths look like {some}."
            )


def layer_rates(model, decay):
    """Layer-wise decay of the learning rate, as patterns.

    What stands before the first of n blocks has `decay ** (n + 1)`, block i (counted
    from 0) `decay ** (n - i)`, and what comes after the last 1.

    Args:
        model: `keras.Model` whose blocks are called `block_0`, `layer_0`,
            `transformer_block_0` or the like. decay: 0..1.

    Returns:
        Dict for `rates` of the optimisers of this package.

    Raises:
        ValueError: for a model without such blocks.

    Source:
        MAE's `lr_decay.py`, arXiv:2111.06377; Clark et al. 2020, arXiv:2003.10555.
    """
    paths = [v.path for v in model.trainable_variables]
    blocks = [BLOCK.match(path) for path in paths]
    places = [place for place, block in enumerate(blocks) if block]
    if not places:
        raise ValueError(
            "layer_decay: needs a model with blocks called 'block_0' and so on, got "
            f"{model.name!r}. Use rates={{PATTERN: FACTOR}} instead."
        )
    depth = 1 + max(int(blocks[place].group(2)) for place in places)
    rates = {}
    for place, (path, block) in enumerate(zip(paths, blocks, strict=True)):
        if block:
            name = block.group(1).rpartition("/")[2]
            rates[f"(^|/){re.escape(name)}/"] = decay ** (depth - int(block.group(2)))
        elif place < places[0]:
            path = path.removeprefix(f"{model.name}/")  # gone in a model from a file
            rates[f"(^|/){re.escape(path)}$"] = decay ** (depth + 1)
    return rates


def decay_from_big_vision(weight_decay, learning_rate):
    """Turn a decay that is not multiplied by the learning rate into ours.

    big_vision: `p -= s(t) * (lr * adam(g) + wd * p)`, s from 0 to 1; TensorFlow
    Addons' AdamW has the same rule. Ours, Keras', PyTorch's and optax' AdamW:
    `p -= s(t) * lr * (adam(g) + weight_decay * p)`.

    >>> round(decay_from_big_vision(1e-4, learning_rate=1e-3), 6)
    0.1
    """
    return weight_decay / learning_rate


def decay_from_l2(weight_decay, momentum):
    """Turn an L2 term in the gradient of momentum SGD into our decay.

    With L2, `m = mu * m + g + wd * p` and `p -= lr * m`: as p changes little while m
    forgets, it shrinks by `lr * wd / (1 - mu)` per step. For Adam there is no such
    number, since it divides by the size of the gradient.

    >>> round(decay_from_l2(1e-4, momentum=0.9), 6)
    0.001
    """
    return weight_decay / (1.0 - momentum)


class Rates:
    """Mixin: a factor on the learning rate of each variable.

    Args:
        rates: pattern -> factor; the product of all that are found in the path of a
            variable, 1 where none is. With 0 a variable stays as it is.
        *args, **options: of the optimiser that stands behind.
    """

    def __init__(self, *args, rates=None, **options):
        super().__init__(*args, **options)
        self.rates = dict(rates or {})

    def build(self, variables):
        """Look the factors of all variables up once."""
        if self.built:
            return
        super().build(variables)
        self._rates = tuple(factor(self.rates, v.path, 1.0) for v in variables)
        if variables and not any(self._rates):
            raise ValueError(
                f"rates: must leave a weight to train, got {self.rates}, which make "
                "the learning rate of all of them 0. Take a pattern away."
            )

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable, at its own rate."""
        rate = self._rates[variable_index(self, variable)]
        if rate:
            rate = rate * ops.cast(learning_rate, variable.dtype)
            super().update_step(gradient, variable, rate)

    def get_config(self):
        """Plain values that rebuild this optimiser."""
        return {**super().get_config(), "rates": dict(self.rates)}


class Decay:
    """Mixin: `p -= lr * weight_decay * p` on chosen variables.

    Behind `Rates` the learning rate is that of the variable, as with PyTorch's
    parameter groups. Big_vision does not multiply decay by its `lr_mults`.

    Args:
        weight_decay: share per step, times the learning rate.
        decays: pattern -> factor on weight_decay, products as in `Rates`; 0 where
            none is found. None is kernels only.
        *args, **options: of the optimiser that stands behind.
    """

    def __init__(self, *args, weight_decay=0.0, decays=None, **options):
        # Keras' own decay stays off: it knows no patterns and no rates.
        super().__init__(*args, **options)
        self.decay = float(weight_decay)
        self.decays = dict(KERNELS if decays is None else decays)

    def build(self, variables):
        """Look the factors of all variables up once."""
        if self.built:
            return
        super().build(variables)
        self._decays = tuple(
            self.decay * factor(self.decays, v.path) for v in variables
        )

    def decay_of(self, variable):
        """Decay of one variable, a number."""
        return self._decays[variable_index(self, variable)]

    def update_step(self, gradient, variable, learning_rate):
        """One step on one variable, after its decay."""
        decay = self.decay_of(variable)
        if decay and getattr(self, "decoupled", True):
            self.assign_sub(variable, decay * learning_rate * variable)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Plain values that rebuild this optimiser."""
        return {
            **super().get_config(),
            "weight_decay": self.decay,
            "decays": dict(self.decays),
        }
