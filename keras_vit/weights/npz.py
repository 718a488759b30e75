""".npz files, read without numpy's loader, which can unpickle.

Knows `.npz`, not whose weights are inside; see `google`, `timm`, `hf` for that.
"""

import io
import json
import math
import re
import zipfile

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights import archive
from keras_vit.weights.arrays import ArrayFile, Entry, byte_count, check_shape, decode

HEADER = re.compile(
    rb"\{\s*'descr':\s*'([^']{2,16})',\s*'fortran_order':\s*(True|False),"
    rb"\s*'shape':\s*\(([0-9, ]{0,400})\),?\s*\}\s*"
)
HEADER_LIMIT = 4096  # bytes; a header of numbers takes 118
DESCR = {
    "<f8": "float64", "<f4": "float32", "<f2": "float16",
    "|V2": "bfloat16", "<V2": "bfloat16",
    "<i8": "int64", "<i4": "int32", "<i2": "int16",
    "|i1": "int8", "|u1": "uint8", "|b1": "bool",
}  # fmt: skip
NOTE = "keras_vit:"  # marks our notes in the comment of the archive


def read_npz(path):
    """Open an `.npz` file.

    Args:
        path: `pathlib.Path`.

    Returns:
        `ArrayFile`.

    Raises:
        CheckpointError: when the file is damaged, unsafe or not an `.npz`.
    """
    entries = {}
    for name, info in archive.members(path).items():
        if name.endswith(".npy"):
            entries[name.removesuffix(".npy")] = _entry(path, info)
    if not entries:
        raise CheckpointError(
            f"{path}: an .npz file must hold .npy members, got none. "
            "Is it another kind of archive?"
        )
    return ArrayFile(path, "npz", entries, notes=_notes(path))


def _entry(path, info):
    start, dtype, fortran, shape = _header(path, info)
    check_shape(path, info.filename, shape)
    if dtype in DESCR:
        dtype = DESCR[dtype]
        needed = start + byte_count(path, info.filename, dtype, shape)
        if needed != info.file_size:
            raise CheckpointError(
                f"{path}: {info.filename!r} must take {needed} bytes for shape "
                f"{shape}, got {info.file_size}. Download it again."
            )

    def load():
        byte_count(path, info.filename, dtype, shape)
        raw = memoryview(archive.read(path, info))[start:]
        if fortran:
            return decode(raw, dtype, shape[::-1]).T
        return decode(raw, dtype, shape)

    return Entry(shape, dtype, load)


def _header(path, info):
    """(start of the data, descr, fortran order, shape) of an `.npy` member."""
    raw = archive.read(path, info, HEADER_LIMIT)
    if raw[:6] != b"\x93NUMPY" or len(raw) < 12:
        raise _bad_header(path, info, "not the mark of an array")
    length_bytes = 2 if raw[6] == 1 else 4
    length = int.from_bytes(raw[8 : 8 + length_bytes], "little")
    start = 8 + length_bytes + length
    if start > min(HEADER_LIMIT, info.file_size):
        raise _bad_header(path, info, f"a header of {length} bytes")
    found = HEADER.fullmatch(raw[8 + length_bytes : start])
    if not found:
        raise _bad_header(path, info, "a header that is no plain shape")
    descr, fortran, sides = found.groups()
    if b"O" in descr:
        raise CheckpointError(
            f"{path}: arrays must hold plain numbers, got Python objects in "
            f"{info.filename!r}, never unpickled. Save the weights as float32."
        )
    shape = tuple(int(side) for side in sides.replace(b" ", b"").split(b",") if side)
    return start, descr.decode("latin1"), fortran == b"True", shape


def _bad_header(path, info, got):
    return CheckpointError(
        f"{path}: {info.filename!r} must begin with the header of a numpy array, got "
        f"{got}. Download it again; the file may be damaged."
    )


def _notes(path):
    """Metadata in the archive's comment, or nothing."""
    text = archive.comment(path).decode("utf-8", "replace")
    if not text.startswith(NOTE):
        return {}
    try:
        return {"keras_vit": json.loads(text.removeprefix(NOTE))}
    except (ValueError, RecursionError) as err:
        raise CheckpointError(
            f"{path}: the archive's comment must be JSON after {NOTE!r}, got {err}. "
            "Save the file again with save_checkpoint."
        ) from err


def write_npz(path, arrays, metadata):
    """Write arrays as an uncompressed `.npz` that `numpy.load` reads too.

    Args:
        path: target; written as it is, so pass a temporary name.
        arrays: iterable of (name, numpy array).
        metadata: plain values for the archive's comment; dropped when longer than
            the 65,535 bytes a zip comment may take.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as target:
        for name, values in arrays:
            values = np.asarray(values)
            header = io.BytesIO()
            order = {"descr": values.dtype.str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(
                header, {**order, "shape": values.shape}
            )
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            large = math.prod(values.shape) * values.itemsize > 2**31
            with target.open(info, "w", force_zip64=large) as member:
                member.write(header.getvalue())
                member.write(np.ascontiguousarray(values).tobytes())
        text = (NOTE + json.dumps(metadata)).encode()
        if len(text) > 65_535:
            text = (NOTE + json.dumps({**metadata, "labels": None})).encode()
        target.comment = text
