"""Fake quantization: rounding with the straight-through gradient."""

import math

from keras import ops

from keras_vit.export.quantization.algorithms.gptq import limits

CODES = (-128, 127)


def fake_weight(kernel, step, bits):
    """Round a kernel (in, out) to multiples of a scale per output, differentiably.

    `s * round(clip(w / s, low, top))`; the gradient of s is scaled by
    1 / sqrt(inputs * top), which makes it as large as the weights'. Source: Esser et
    al. 2020, arXiv:1902.08153 (LSQ), eqs. (1) to (3), section 2.2.
    """
    low, top = limits(bits)
    share = float(kernel.shape[0] * top) ** -0.5
    step = ops.absolute(step)
    step = step * share + ops.stop_gradient(step * (1 - share))
    return through(ops.clip(kernel / step, low, top)) * step


def fake_tokens(inputs):
    """Round each token to 256 levels between its minimum and maximum, with 0 exact."""
    low = ops.minimum(ops.min(inputs, axis=-1, keepdims=True), 0.0)
    high = ops.maximum(ops.max(inputs, axis=-1, keepdims=True), 0.0)
    step = ops.stop_gradient(ops.maximum((high - low) / 255.0, 1e-12))
    return through(inputs / step) * step


def fake_range(inputs, low, high):
    """Round to the 256 codes of a range, differentiably in its ends.

    Values outside pull at the end they lie beyond, values inside at the step. Source:
    Jain et al. 2019, arXiv:1903.08066 (trained thresholds), section 3; for ends that
    differ, Bhalgat et al. 2020, arXiv:2004.09576 (LSQ+), eqs. (1) to (5).

    Args:
        inputs: any shape. low: scalar, at most 0. high: scalar above 0.
    """
    step = (high - low) / 255.0
    zero = ops.clip(through(-128.0 - low / step), *CODES)
    return (through(ops.clip(inputs / step + zero, *CODES)) - zero) * step


def fake_share(inputs):
    """Round to multiples of 1 / 256 below 1, as the integer softmax does."""
    return through(ops.clip(inputs * 256.0, 0.0, 255.0)) / 256.0


def through(x):
    """Round; the gradient is that of the identity (straight-through estimator)."""
    return x + ops.stop_gradient(ops.round(x) - x)


def power(exponent):
    """2 to this: scales and ends are learned as logarithms."""
    return ops.exp(exponent * math.log(2.0))
