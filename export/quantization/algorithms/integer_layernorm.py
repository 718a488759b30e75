"""Layer normalisation in integers: a token times 1 / rms, in 16 bits."""

import math

import numpy as np

from keras_vit.export.quantization.graph.graph import INT8, INT16, TFLiteTensor

TOP = 32767
RELU = 1
MOST_STEPS = 4


def write_norm(writer, norm):
    """Append `x / rms(x)` to a writer's graph; returns the number of the result.

    Squares, their sums and the products are 16-bit; the root is a table of 256 values
    (RSQRT of int8, which all runtimes and NPUs share), made finer by Newton's
    method. One range for the energies is too coarse where few tokens are
    massive: see `inverse_of_two_ranges`.

    Args:
        writer: `IntegerWriter`. norm: `UnitNorm` of its float graph.
    """
    x = writer.quantized(norm.x, wide=True)
    top, cut = writer.energies[norm.variance]
    least = writer.limits[norm.rsqrt][1]
    peak = max(map(abs, writer.limits[norm.x])) ** 2
    if cut is None:
        inverse, _ = _inverse(writer, x, peak, top, least)
    else:
        inverse = inverse_of_two_ranges(writer, x, peak, (cut, top), least)
    made = writer.make(norm.normed, *writer.limits[norm.normed], wide=True)
    return writer.add("MUL", [x, inverse], made)


def inverse_of_two_ranges(writer, x, peak, tops, least):
    """1 / rms with a fine range for ordinary tokens and a coarse one for massive ones.

    `fine - relu(1 / sqrt(cut) - coarse)`, where `fine` saturates at the energy `cut`
    and the second term is zero below it. Massive tokens: Sun et al. 2024,
    arXiv:2402.17762, section 2; Darcet et al. 2023, arXiv:2309.16588, section 2. The
    construction is ours.

    Args:
        writer: `IntegerWriter`. x: tokens, (.., D). peak: largest square of a value.
        tops: (cut, largest) mean square. least: 1 / rms of the shortest token.

    Returns:
        Number of a tensor (.., 1).
    """
    fine, cut = _inverse(writer, x, peak, tops[0], least)
    edge = 1 / math.sqrt(cut)
    coarse, _ = _inverse(writer, x, peak, tops[1], edge)
    unit = float(writer.graph.tensors[fine].scale[0])
    shape = writer.graph.tensors[fine].shape
    edge = _constant(writer, fine, "edge", edge, unit)
    excess = writer.graph.append(_int16("excess", shape, unit))
    writer.add("SUB", [edge, coarse], excess, fusedActivationFunction=RELU)
    made = writer.graph.append(_int16("inverse", shape, unit))
    return writer.add("SUB", [fine, excess], made)


def _inverse(writer, x, peak, top, least):
    """1 / rms of each token, (.., 1), of a mean square of `top` at most.

    With e = 4 mean(x^2), a table gives q = 1 / sqrt(e), about; then Newton's method,
    `q (3 - e q^2)`, whose result is twice as large as q, which is what is wanted.

    Returns:
        (number of the tensor, the mean square at which it saturates).
    """
    energy, top = _energy(writer, x, peak, top)
    # Below half a code the table gives its end, which Newton's step must not overshoot.
    end = min(least / 2, math.sqrt(510 / (4 * top)))
    inverse = _finer(writer, energy, _table(writer, energy, end), end)
    half = _constant(writer, energy, "half", 0.5, 2.0**-15)
    for _ in range(newton_steps(top * least**2) - 1):
        inverse = _product(writer, "guess", inverse, half, 1.5 * end)
        inverse = _finer(writer, energy, inverse, 1.5 * end)
    return inverse, top


def _finer(writer, energy, guess, end):
    """Append one step of Newton's method, twice as large as the estimate."""
    square = _product(writer, "square", guess, guess, end**2)
    ratio = _product(writer, "ratio", energy, square, 3.99)
    unit = float(writer.graph.tensors[ratio].scale[0])
    three = _constant(writer, energy, "three", 3.0, unit)
    rest = writer.graph.like(ratio, name="rest")
    writer.add("SUB", [three, ratio], rest, fusedActivationFunction=RELU)
    return _product(writer, "inverse", guess, rest, 3 * end)


def _product(writer, name, a, b, limit):
    made = _int16(name, writer.graph.tensors[a].shape, even_step(limit))
    return writer.add("MUL", [a, b], writer.graph.append(made))


def _constant(writer, like, name, value, unit):
    shape = (1,) * len(writer.graph.tensors[like].shape)
    return writer.shared(
        _int16(name, shape, unit, np.full(shape, round(value / unit), "int16"))
    )


def newton_steps(ratio):
    """Number of Newton steps until norms are exact within 0.2%.

    The table rounds an energy to one of 255 codes: that of the shortest token is
    `255 / ratio`, and off by half a code. Each step takes an error d to 1.5 d^2 +
    0.5 d^3.

    Args:
        ratio: largest energy to the smallest.

    >>> [newton_steps(ratio) for ratio in (4, 40, 400)]
    [1, 2, 3]
    """
    code = 255 / ratio
    error = max(min(0.3, 0.25 / code), 1 - math.sqrt(2 * code)) + 0.5 / 255
    for step in range(1, MOST_STEPS):
        error = 1.5 * error**2 + 0.5 * error**3
        if error < 0.002:
            return step
    return MOST_STEPS


def _energy(writer, x, peak, top):
    """4 times the mean square of each token, and its saturation limit.

    The sum is a dense layer of one unit with equal weights; its step is the square's
    times a power of two, times the mean's 1 / D.
    """
    graph = writer.graph
    shape = graph.tensors[x].shape
    width = shape[-1]
    unit = even_step(min(peak, width * top))
    square = graph.append(_int16("square", shape, unit))
    writer.add("MUL", [x, x], square)
    weight, shift = _weight(top * width / TOP / unit)
    step = np.float32(4 / (weight * width))
    ones = TFLiteTensor("ones", (1, width), INT8, np.full((1, width), weight, "int8"))
    ones.scale, ones.zero = np.array([step]), np.zeros(1, "int64")
    tensor = _int16("energy", (*shape[:-1], 1), unit * float(step) * 2.0**shift)
    tensor = graph.append(tensor)
    sums = [square, writer.shared(ones), -1]
    writer.add("FULLY_CONNECTED", sums, tensor, keepNumDims=True)
    return tensor, float(graph.tensors[tensor].scale[0]) * TOP / 4


def _weight(ratio):
    """(w, n) with 2^n / w next above a ratio of sums to codes, w from 64 to 127."""
    shift = math.ceil(math.log2(ratio * 64))
    return min(127, max(64, int(2.0**shift / ratio))), shift


def _table(writer, energy, end):
    """Append a lookup table of 1 / sqrt up to `end`, with 256 entries of 16 bits."""
    graph, old = writer.graph, writer.graph.tensors[energy]
    steps = float(old.scale[0]) * 128, end / 255
    short, root = (
        writer.int8_tensor("energy", old.shape, step, -128) for step in steps
    )
    writer.add("QUANTIZE", [energy], short)
    writer.add("RSQRT", [short], root)
    made = graph.append(_int16("guess", old.shape, even_step(end)))
    return writer.add("QUANTIZE", [root], made)


def even_step(top):
    """The power of two that is the step of a 16-bit range.

    Runtimes compute the ratio of steps in float32 or in float64, keep 16 or 32 bits of
    it, and round once or twice. For a power of two all of them give the same integers.

    >>> even_step(1.0) == 2.0**-14
    True
    """
    return 2.0 ** math.ceil(math.log2(max(top, 1e-6) / TOP))


def few_bits(scales):
    """Round scales up to 15 bits, the precision that some runtimes keep for int16."""
    mantissa, exponent = np.frexp(scales.astype("float64"))
    return np.ldexp(np.ceil(mantissa * 2**15) / 2**15, exponent).astype("float32")


def _int16(name, shape, scale, data=None):
    scale, zero = np.array([scale], "float32"), np.zeros(1, "int64")
    return TFLiteTensor(name, tuple(shape), INT16, data, scale, zero)
