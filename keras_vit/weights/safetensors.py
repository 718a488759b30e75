""".safetensors files; every claim of the header is checked.

The format is small enough to read in a page, and this page refuses before it
allocates. Format: https://github.com/huggingface/safetensors#format.
"""

import json
import math

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights.arrays import DTYPES, ArrayFile, Entry, check_shape, decode

HEADER_LIMIT = 100 * 2**20  # bytes, the limit of the format
CODES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def read_safetensors(path):
    """Open a `.safetensors` file.

    Args:
        path: `pathlib.Path`.

    Returns:
        `ArrayFile`; its note "metadata" holds the header's free text.

    Raises:
        CheckpointError: when the header does not fit the file.
    """
    header, start = _header(path)
    metadata = header.pop("__metadata__", {})
    room = path.stat().st_size - start
    spans, entries = [], {}
    for name, claim in header.items():
        code, shape, begin, end = _claim(path, name, claim, room)
        spans.append((begin, end, name))
        entries[name] = _entry(path, name, code, shape, start + begin)
    _check_spans(path, spans, room)
    return ArrayFile(path, "safetensors", entries, notes=_notes(path, metadata))


def _header(path):
    """(name -> header entry, start of the data)."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length > min(HEADER_LIMIT, size - 8):
            raise CheckpointError(
                f"{path}: the header must fit into the file of {size} bytes, got a "
                f"claim of {length} bytes. Download it again; it may be cut off."
            )
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as err:
        raise CheckpointError(
            f"{path}: the header must be JSON, got {err}. Download it again."
        ) from err
    if not isinstance(header, dict):
        raise CheckpointError(
            f"{path}: the header must map names to tensors, got a "
            f"{type(header).__name__}. Download it again."
        )
    return header, 8 + length


def _unique(pairs):
    """Build a dict; refuse a duplicate name."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name that occurs twice")
    return result


def _claim(path, name, claim, room):
    """Check one entry of the header: (dtype code, shape, begin, end)."""
    try:
        code, shape, offsets = claim["dtype"], claim["shape"], claim["data_offsets"]
        begin, end = offsets
        whole = [*shape, begin, end]
    except (TypeError, KeyError, ValueError) as err:
        raise CheckpointError(
            f"{path}: {name!r} must have dtype, shape and data_offsets, got "
            f"{str(claim)[:80]}. Download it again."
        ) from err
    if not all(type(n) is int and n >= 0 for n in whole) or not begin <= end <= room:
        raise CheckpointError(
            f"{path}: {name!r} must lie within the {room} bytes of data, got shape "
            f"{str(shape)[:80]} at {str(offsets)[:80]}. Download it again; it may be "
            "cut off."
        )
    check_shape(path, name, shape)
    dtype = CODES.get(code) if isinstance(code, str) else None
    if dtype and math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
        raise CheckpointError(
            f"{path}: {name!r} must take as many bytes as its shape says, got shape "
            f"{shape} of {code} in {end - begin} bytes. Download it again."
        )
    return code, tuple(shape), begin, end


def _check_spans(path, spans, room):
    """Check that arrays share no bytes, and fill the file."""
    last = 0
    for begin, end, name in sorted(spans):
        if begin != last:
            raise CheckpointError(
                f"{path}: arrays must lie side by side, got {name!r} at byte {begin} "
                f"instead of {last}. Download it again."
            )
        last = end
    if last != room:
        raise CheckpointError(
            f"{path}: the arrays must fill {room} bytes, got {last}. Download it again."
        )


def _entry(path, name, code, shape, start):
    dtype = CODES.get(code) if isinstance(code, str) else None

    def load():
        if dtype is None:
            known = ", ".join(CODES)
            raise CheckpointError(
                f"{path}: tensors must be one of {known}, got {code!r} in {name!r}. "
                "Save the weights as F32."
            )
        with open(path, "rb") as file:
            file.seek(start)
            values = np.fromfile(file, DTYPES[dtype], math.prod(shape))
        if values.size != math.prod(shape):
            raise CheckpointError(
                f"{path}: {name!r} must hold {math.prod(shape)} values, got "
                f"{values.size}. The file was cut off while it was read."
            )
        return decode(values, dtype, shape)

    return Entry(shape, dtype or str(code), load)


def _notes(path, metadata):
    """Metadata of the header; our own is JSON under "keras_vit"."""
    if not isinstance(metadata, dict):
        return {}
    notes = {"metadata": metadata}
    if isinstance(metadata.get("keras_vit"), str):
        try:
            notes["keras_vit"] = json.loads(metadata["keras_vit"])
        except (ValueError, RecursionError) as err:
            raise CheckpointError(
                f"{path}: the note 'keras_vit' must be JSON, got {err}. "
                "Save the file again with save_checkpoint."
            ) from err
    return notes


def write_safetensors(path, arrays, metadata):
    """Write float32 arrays in the order given.

    Args:
        path: target; written as it is, so pass a temporary name.
        arrays: name -> numpy array.
        metadata: text -> text.
    """
    header, position = {"__metadata__": metadata}, 0
    for name, values in arrays.items():
        end = position + values.size * 4
        shape = list(values.shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for values in arrays.values():
            file.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
