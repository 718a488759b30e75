"""Difference measures of an exported file and the Keras model: dB, tolerance."""

import dataclasses
import math
import numbers

import numpy as np

from keras_vit.errors import ExportMismatch
from keras_vit.export.runtime.precision import PRECISIONS

# float32 arithmetic in another order moves a logit by 1e-6 to 1e-5; 1e-4 leaves room
# for deep models. Outputs above 10 (features with massive activations reach 500) may
# differ by the same share of the largest.
ABSOLUTE = 1e-4
RELATIVE = 1e-5


def points_allowed(asked, precision):
    """Points of top-1 that a file may lose.

    Args:
        asked: by the caller, or None. precision: of its weights.

    >>> points_allowed(None, "int4"), points_allowed(0.2, "int4")
    (1.5, 0.2)
    """
    if asked is not None:
        return asked
    return PRECISIONS[precision].max_points_lost


def decibels(value):
    """A signal-to-noise ratio in words.

    >>> decibels(31.62), decibels(math.inf), decibels(-math.inf)
    ('31.6 dB', 'identical', 'noise alone')
    """
    if math.isfinite(value):
        return f"{value:.1f} dB"
    return "identical" if value > 0 else "noise alone"


def differs(largest):
    """The largest difference of two outputs, in words.

    >>> differs(0.0123), differs(0.0)
    ('largest difference 0.012', 'outputs identical')
    """
    return f"largest difference {largest:.2g}" if largest else "outputs identical"


def check_points(name, value, optional=False):
    """Check that a value is points of top-1, 0 to 100.

    Args:
        name: of the argument. value: of it. optional: whether None will do.

    Raises:
        ValueError: when it is not a number from 0 to 100.
    """
    if optional and value is None:
        return
    if not isinstance(value, numbers.Real) or not 0 <= value <= 100:
        raise ValueError(
            f"{name}: must be points of top-1 between 0 and 100, got {value!r}. 0.5 is "
            "usual."
        )


@dataclasses.dataclass
class Tally:
    """Running difference sums over batches of expected and obtained outputs."""

    count: int = 0
    largest: float = 0.0
    absolute: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    loudest: float = 0.0
    finite: bool = True

    def add(self, expected, got):
        """Add one pair of arrays of the same shape."""
        expected, got = np.asarray(expected, "float64"), np.asarray(got, "float64")
        self.finite = self.finite and bool(np.isfinite(got).all())
        difference = np.abs(np.nan_to_num(got) - expected)
        self.count += expected.size
        self.largest = max(self.largest, float(difference.max()))
        self.absolute += float(difference.sum())
        self.signal += float((expected**2).sum())
        self.noise += float((difference**2).sum())
        self.loudest = max(self.loudest, float(np.abs(expected).max()))

    @property
    def mean(self):
        """Mean absolute difference."""
        return self.absolute / max(self.count, 1)

    @property
    def decibel(self):
        """Signal-to-noise ratio, 10 log10(sum y^2 / sum (y' - y)^2), in dB.

        inf where both are identical, -inf where all values should have been 0.
        """
        if self.noise == 0.0:
            return math.inf
        share = self.signal / self.noise
        return 10.0 * math.log10(share) if share else -math.inf

    @property
    def tolerance(self):
        """Largest difference that float32 rounding explains."""
        return max(ABSOLUTE, RELATIVE * self.loudest)

    def complaint(self, precision):
        """Which limit these outputs exceed; "" for none.

        float32 files must stay within `tolerance`; files with smaller weights
        must keep a signal-to-noise ratio of `Precision.min_snr_db`.
        """
        if not self.finite:
            return "values that are not finite"
        if precision != "float32":
            least = PRECISIONS[precision].min_snr_db
            if self.decibel >= least:
                return ""
            return (
                f"a signal-to-noise ratio of {decibels(self.decibel)} "
                f"(at least {least:.0f} dB wanted)"
            )
        if self.largest <= self.tolerance:
            return ""
        return (
            f"a largest difference of {self.largest:.3g} (at most "
            f"{self.tolerance:.1e} wanted), signal to noise {decibels(self.decibel)}"
        )


def check_interface(where, contract, runtime):
    """Compare names, dtypes and shapes of a file with its `Contract`.

    Args:
        where: path, for the message.
        contract: `Contract`.
        runtime: the loaded file.

    Raises:
        ExportMismatch: naming the first that differs.
    """
    inputs, outputs = runtime.inputs, runtime.outputs
    pairs = (
        ("inputs", (contract.image,), inputs),
        ("outputs", contract.outputs, outputs),
    )
    for side, wanted, obtained in pairs:
        shown = dequantized(wanted, obtained)
        if sorted(map(str, wanted)) != sorted(map(str, shown)):
            raise ExportMismatch(
                f"{where}: must have the {side} {', '.join(map(str, wanted))}, got "
                f"{', '.join(map(str, obtained)) or 'none'}. Export the model again."
            )


def dequantized(wanted, outputs):
    """Dequantize a file's integer outputs, where floats are expected.

    Args:
        wanted, outputs: `keras_vit.export.io.io_spec.TensorSpec`s.
    """
    exact = {(tensor.name, tensor.dtype) for tensor in wanted}
    return [t if (t.name, t.dtype) in exact else t.meaning for t in outputs]


def check_answers(where, contract, precision, expected, got):
    """Compare a file's outputs with the Keras model's.

    Args:
        where: path, for the message.
        contract: `Contract`.
        precision: "float32", "float16", "int8" or "int4", of the file's weights.
        expected, got: lists of arrays, one per output.

    Returns:
        `Tally` over all outputs.

    Raises:
        ExportMismatch: naming output, what differs, where and by how much.
    """
    total = Tally()
    for tensor, wanted, obtained in zip(contract.outputs, expected, got, strict=True):
        if wanted.shape != obtained.shape or wanted.dtype != obtained.dtype:
            raise ExportMismatch(
                f"{where}: output {tensor.name!r} must be {wanted.dtype} "
                f"{wanted.shape}, got {obtained.dtype} {obtained.shape}. Export it "
                "again."
            )
        one = Tally()
        one.add(wanted, obtained)
        complaint = one.complaint(precision)
        if complaint:
            raise ExportMismatch(
                f"{where}: output {tensor.name!r} must equal the Keras model's, got "
                f"{complaint}; {largest_difference(wanted, obtained)}. Try another "
                "format."
            )
        total.add(wanted, obtained)
    return total


def largest_difference(expected, got):
    """Describe where two arrays differ most.

    >>> import numpy as np
    >>> largest_difference(np.zeros((2, 3)), np.eye(2, 3) * [[1.0], [2.0]])
    'worst at index (1, 1): expected 0, got 2'
    """
    difference = np.abs(np.asarray(got, "float64") - np.asarray(expected, "float64"))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    at = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
    return f"worst at index {at}: expected {expected[at]:.6g}, got {got[at]:.6g}"
