"""Limits of a file's output error, by the precision of its weights."""

from typing import NamedTuple


class Precision(NamedTuple):
    """Limits of the output error for files of one precision.

    Args:
        min_snr_db: signal-to-noise ratio of the outputs that a file must keep; None
            where every value must agree to `differences.ABSOLUTE`.
        min_layer_snr_db: of the residual stream behind each block.
        max_points_lost: of top-1, where nobody says how many.
    """

    min_snr_db: float | None
    min_layer_snr_db: float
    max_points_lost: float = 0.5


# 8-bit weights keep 25 to 45 dB on trained models, 8-bit activations 13 to 20; under
# 10 dB the noise has a tenth of the power of the signal and the file is broken rather
# than rounded. 4-bit weights keep 10 to 20 dB, and whoever takes them gives accuracy
# for size. 16-bit floats carry 11 bits, 60 dB and more. Inside, rounding adds up over
# the blocks, gently; a layer that breaks falls to 5 dB and less at once.
PRECISIONS = {
    "float32": Precision(None, 60.0),
    "float16": Precision(40.0, 40.0),
    "int8": Precision(10.0, 6.0),
    "int4": Precision(6.0, 4.0, max_points_lost=1.5),
}
