"""Signal-to-noise ratio of the residual stream, block by block, file against Keras."""

import dataclasses
import math

import keras
import numpy as np

from keras_vit.export.inspection import anatomy as facts
from keras_vit.export.inspection import onnx, tflite
from keras_vit.export.inspection.blocks import name_points, residual_stream
from keras_vit.export.inspection.values import run_with
from keras_vit.export.runtime.differences import decibels
from keras_vit.export.runtime.precision import PRECISIONS
from keras_vit.layers import TransformerBlock

IMAGES = 8
READERS = {"tflite": tflite.read, "onnx": onnx.read}
# Gain in dB that the recovered basis needs over the model's own.
GAIN_DB = 6.0


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """Signal-to-noise ratio of a file's residual stream at each block.

    Attributes:
        points: {name: signal-to-noise ratio in dB}: what enters the first block, then
            after each attention and each MLP; empty when not comparable.
        first_wrong: name of the first point below the limit of the file's precision,
            or None.
        noisiest: name of the step that adds most noise, or None.
        basis: "model" when the file keeps the channels as they are in the model,
            "turned" when it holds them multiplied by an orthogonal matrix.
        note: why the file is not comparable, or "".
    """

    points: dict = dataclasses.field(default_factory=dict)
    first_wrong: str | None = None
    noisiest: str | None = None
    basis: str = ""
    note: str = ""

    def to_dict(self):
        """Plain values, for JSON; None where both streams are identical."""
        finite = {k: v if math.isfinite(v) else None for k, v in self.points.items()}
        return {**dataclasses.asdict(self), "points": finite}

    def __str__(self):
        if self.note:
            return f"layers: not comparable, {self.note}"
        points = self.points.items()
        lines = [f"{name:22} {decibels(value):>9}" for name, value in points]
        if self.first_wrong:
            lines.append(f"goes wrong first at {self.first_wrong}")
        elif self.noisiest:
            lines.append(f"most noise is added at {self.noisiest}")
        return "\n".join(lines)


def compare_layers(
    reference, path, file_format, precision, images, adapter=None, signature=None
):
    """Compare the residual stream after every half of every block.

    The points are found in the file by structure, see `blocks`; when their number
    or shape is not that of the model, nothing is compared. Rewritten files may hold
    the stream without its mean and turned by an orthogonal matrix, which no reader
    notices since each begins with a norm. The matrix is recovered from every other
    token (orthogonal Procrustes) and judged on the rest. Errors are relative to each
    token's length, as the next norm sees them, so that a few massive tokens do not
    hide the others.

    Args:
        reference: `Reference`. path: `.tflite` or `.onnx` file.
        file_format: its format.
        precision: "float32", "float16", "int8" or "int4", of its weights.
        images: (N, H, W, C), as the file takes them; the first 8 are used.
        adapter: `IOAdapter` of the file; None for the model's own.
        signature: of the file; None for its first.

    Returns:
        `LayerReport`.

    Source:
        Schoenemann 1966, A generalized solution of the orthogonal Procrustes problem,
        Psychometrika 31.
    """
    if file_format not in READERS:
        return LayerReport(note=f"{file_format} files do not show what is inside")
    blocks = [
        layer for layer in reference.model.layers if isinstance(layer, TransformerBlock)
    ]
    if not blocks:
        return LayerReport(note="the model has no TransformerBlock of its own")
    anatomy = READERS[file_format](path, signature)
    stream = residual_stream(anatomy)
    note = _mismatch(anatomy, stream, blocks)
    if note:
        return LayerReport(note=note)
    images = np.ascontiguousarray(images[:IMAGES])
    prepared = images if adapter is None else adapter.prepare(images)
    wanted = _of_keras(reference.model, blocks, prepared)
    found = run_with(path, anatomy, stream, images)
    return _report_of(
        name_points(stream), wanted, found, PRECISIONS[precision].min_layer_snr_db
    )


def _mismatch(anatomy, stream, blocks):
    """Why the file's residual stream cannot be compared with the model's, or ""."""
    if len(stream) != 2 * len(blocks) + 1:
        return (
            f"the file has {max(len(stream) - 1, 0)} residual additions in a row, the "
            f"model {2 * len(blocks)}"
        )
    batch = anatomy.tensors[anatomy.inputs[0]].shape[0] or 1
    length = batch * math.prod(blocks[0].input.shape[1:])
    for key in stream:
        shape = anatomy.tensors[key].shape
        if shape is not None and None not in shape and math.prod(shape) != length:
            return f"{facts.short(anatomy.tensors[key].name)} has shape {shape}"
    return ""


def _of_keras(model, blocks, images):
    """The model's residual stream at each point, (B * T, D) float64."""
    outputs = [block.input for block in blocks]
    inputs = keras.Model(model.inputs[0], outputs)(images, training=False)
    points = []
    for block, tokens in zip(blocks, keras.tree.flatten(inputs), strict=True):
        branch = block.attention(block.norm1(tokens), training=False)
        half = tokens + (branch if block.scale1 is None else block.scale1(branch))
        points += [tokens, half]
    points.append(blocks[-1](points[-2], training=False))
    width = points[0].shape[-1]
    arrays = [keras.ops.convert_to_numpy(point) for point in points]
    return [array.astype("float64").reshape(-1, width) for array in arrays]


def _report_of(names, wanted, obtained, least):
    """Build the `LayerReport` from both streams."""
    width = wanted[0].shape[-1]
    obtained = [np.asarray(f, "float64").reshape(-1, width) for f in obtained]
    if not all(np.isfinite(f).all() for f in obtained):
        first = next(
            n for n, f in zip(names, obtained, strict=True) if not np.isfinite(f).all()
        )
        return LayerReport(note=f"{first} holds values that are not finite")
    wanted = [centred(rows) for rows in wanted]
    found_centred = [centred(rows) for rows in obtained]
    plain = [_decibel(*pair) for pair in zip(wanted, found_centred, strict=True)]
    # A rotated stream has its mean spread over all channels, or subtracted.
    turned = max(
        _rotated_decibels(wanted, obtained), _rotated_decibels(wanted, found_centred)
    )
    same = turned[0] < plain[0] + GAIN_DB
    values = plain if same else turned
    if values[0] < least:
        return LayerReport(
            note=f"the input of the first block differs already ({values[0]:.1f} dB "
            "in the best basis): the layers before it are wrong, or the file keeps "
            "its stream in a form that is not known here"
        )
    points = dict(zip(names, values, strict=True))
    wrong = next((name for name, value in points.items() if value < least), None)
    noise = np.diff([10 ** (-value / 10) for value in values])
    noisiest = names[1 + int(np.argmax(noise))] if noise.max() > 0 else None
    return LayerReport(points, wrong, noisiest, "model" if same else "turned")


def centred(rows):
    """Subtract each row's mean over the channels, as a layer norm does."""
    return rows - rows.mean(axis=-1, keepdims=True)


def _decibel(wanted, obtained):
    """-10 log10 of the mean squared error relative to each row's length."""
    lengths = np.maximum((wanted**2).sum(axis=-1), 1e-30)
    noise = float((((obtained - wanted) ** 2).sum(axis=-1) / lengths).mean())
    return math.inf if noise == 0.0 else -10.0 * math.log10(noise)


def _rotated_decibels(wanted, obtained):
    """Signal-to-noise ratios after rotating the file's rows to the model's basis.

    The matrix is fitted on every other row of all points together, where rows count
    by direction only, and judged on the others.
    """
    width = wanted[0].shape[-1]
    joint = np.zeros((width, width))
    for rows, obtained_rows in zip(wanted, obtained, strict=True):
        joint += _unit(obtained_rows[::2]).T @ _unit(rows[::2])
    left, _, right = np.linalg.svd(joint)
    matrix = left @ right
    pairs = zip(wanted, obtained, strict=True)
    return [
        _decibel(rows[1::2], (obtained_rows @ matrix)[1::2])
        for rows, obtained_rows in pairs
    ]


def _unit(rows):
    """Normalise rows to length 1."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(lengths, 1e-15)
