"""Named arrays of a weight file, with shapes known before any is read."""

import collections.abc
import math
from typing import NamedTuple

import numpy as np

from keras_vit.errors import CheckpointError

# Name in files -> (numpy type that holds the bytes, whether those are bfloat16).
# The float types and their sizes are all that weights are made of; the integers
# occur as step counters.
DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "<i1",
    "uint8": "<u1",
    "bool": "<u1",
}


class Entry(NamedTuple):
    """One array that is not read yet."""

    shape: tuple
    dtype: str  # a key of DTYPES, or what the file calls it
    read: object  # () -> numpy array of that shape, float32 for every float

    @property
    def size(self):
        """Number of values."""
        return math.prod(self.shape)


class ArrayFile(collections.abc.Mapping):
    """The arrays of a file by name, with its metadata.

    A `Mapping` of name -> `Entry`. Nothing is read until `array` is called;
    every size was checked against the file before.

    Args:
        where: path, for messages.
        format: "npz", "safetensors", "pth", "h5", ...
        entries: name -> `Entry`.
        notes: plain values beside the arrays: `config` (Hugging Face), `keras_vit`
            (our own), `preprocessor`.
        left_out: name -> reason, for arrays that belong to something else, such
            as an optimiser.
    """

    def __init__(self, where, format, entries, notes=None, left_out=None):
        self.where = str(where)
        self.format = format
        self.entries = dict(entries)
        self.notes = dict(notes or {})
        self.left_out = dict(left_out or {})
        self.origin = {name: name for name in self.entries}

    def __getitem__(self, name):
        return self.entries[name]

    def __iter__(self):
        return iter(self.entries)

    def __len__(self):
        return len(self.entries)

    @property
    def values_count(self):
        """Number of values in all arrays."""
        return sum(entry.size for entry in self.entries.values())

    def array(self, name):
        """Read one array.

        Raises:
            CheckpointError: when its bytes are damaged, or hold NaN or infinity.
        """
        values = np.asarray(self.entries[name].read())
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = values.size - np.count_nonzero(np.isfinite(values))
            raise CheckpointError(
                f"{self.where}: weights must be finite, got {bad} NaN or infinite "
                f"values in {self.origin[name]!r}. The file is damaged; fetch it again."
            )
        return values

    def shape(self, name, rank):
        """Shape of an array that must exist and have `rank` axes.

        Raises:
            CheckpointError: when it does not.
        """
        if name not in self.entries:
            raise CheckpointError(
                f"{self.where}: needs an array {name!r}, got {listed(self)}. "
                "Is it a Vision Transformer, and complete?"
            )
        shape = self.entries[name].shape
        if len(shape) != rank or 0 in shape:
            raise CheckpointError(
                f"{self.where}: {self.origin[name]!r} must have {rank} axes, none of "
                f"them empty, got shape {shape}. Is it another model's file?"
            )
        return shape

    def renamed(self, rename):
        """Rename arrays.

        Args:
            rename: name -> new name.

        Raises:
            CheckpointError: when two arrays end up under one name.
        """
        result = ArrayFile(self.where, self.format, {}, self.notes, self.left_out)
        for name, entry in self.entries.items():
            new = rename(name)
            if new in result.entries:
                raise CheckpointError(
                    f"{self.where}: names must differ, got {self.origin[name]!r} and "
                    f"{result.origin[new]!r} for the same weight. Use a clean copy."
                )
            result.entries[new] = entry
            result.origin[new] = self.origin[name]
        return result

    def without(self, reasons):
        """Skip arrays, with a reason for each.

        Args:
            reasons: name -> reason, or None to keep it.
        """
        kept, left_out = {}, dict(self.left_out)
        for name, entry in self.entries.items():
            reason = reasons(name)
            if reason is None:
                kept[name] = entry
            else:
                left_out[self.origin[name]] = reason
        result = ArrayFile(self.where, self.format, kept, self.notes, left_out)
        result.origin = {name: self.origin[name] for name in kept}
        return result


def listed(names, limit=4):
    """Format a few names for a message."""
    names = sorted(names)
    if not names:
        return "no arrays at all"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more


def decode(raw, dtype, shape):
    """Decode bytes of a file to a numpy array; every float becomes float32.

    Args:
        raw: buffer of exactly the right size.
        dtype: a key of DTYPES.
        shape: of the result.
    """
    values = np.frombuffer(raw, DTYPES[dtype])
    if dtype == "bfloat16":
        values = (values.astype("<u4") << 16).view("<f4")
    elif values.dtype.kind == "f":
        values = values.astype("float32", copy=False)
    return values.reshape(shape)


def check_shape(where, name, shape):
    """Refuse shapes that no weight has, such as (0, 10**30).

    Raises:
        CheckpointError: for more than 8 axes, or an axis beyond 2**40.
    """
    if len(shape) > 8 or any(side > 2**40 for side in shape):
        raise CheckpointError(
            f"{where}: {name!r} must have a sensible shape, got {str(shape)[:80]}. "
            "The file is damaged; fetch it again."
        )


def byte_count(where, name, dtype, shape):
    """Bytes of an array; refuses dtypes that are not numbers.

    Raises:
        CheckpointError: for a type that cannot be read.
    """
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{where}: arrays must hold plain numbers, got {dtype!r} in {name!r}. "
            "Save the weights as float32, float16 or bfloat16."
        )
    return math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
