"""Tensors of a PyTorch file, read without running its pickle.

A pickle is a program. This module does not use Python's unpickler: it steps
through the opcodes itself, knows only those that describe dictionaries, lists,
numbers, text and tensors, and refuses the rest. No class is looked up, no
function of the file's choice is called.
"""

import collections
import math
import pickletools

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights import archive
from keras_vit.weights.arrays import DTYPES, ArrayFile, Entry, check_shape, decode

PROGRAM_LIMIT = 64 * 2**20  # bytes of data.pkl; real ones are below 1 MiB
MEMO_LIMIT = 2**24
# Keys of the weights in training files, the most reliable first.
WRAPS = (
    "model_ema", "state_dict_ema", "ema_state_dict", "ema", "model", "state_dict",
    "model_state_dict", "module", "teacher", "encoder", "target_encoder", "net",
    "network", "backbone", "weights", "params",
)  # fmt: skip
# Never the weights, whatever they hold.
OTHERS = frozenset({"optimizer", "opt", "scheduler", "lr_scheduler", "scaler", "args"})
DEPTH = 3  # of dictionaries in dictionaries
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
EMPTY = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
NOTHING_TO_DO = {"PROTO", "FRAME"}


class Name(str):
    """A class or function that the file names; never looked up."""


class Ignored:
    """Stands in for an object that is not a tensor, such as a script's arguments."""


class Storage(collections.namedtuple("Storage", "dtype key count")):
    """A storage of numbers in the archive."""


class Tensor(collections.namedtuple("Tensor", "storage offset shape strides")):
    """A view of a storage."""


class Refused(Exception):
    """The pickle needs an operation that tensors do not."""


def _tensor(arguments):
    storage, offset, shape, strides = arguments[:4]
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise Refused("a tensor without a storage")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise Refused("a tensor whose shape is not of integers")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    values = math.prod(shape)
    if values and (last >= storage.count or values > storage.count):
        raise Refused(f"a tensor of shape {shape} in {storage.count} numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


# Allowed functions of a pickle, and what replaces them.
CALLS = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda arguments: arguments[0],
    "collections OrderedDict": lambda arguments: {},
    "collections defaultdict": lambda arguments: {},
    "torch Size": lambda arguments: arguments[0] if arguments else (),
    "torch device": lambda arguments: Ignored(),
    "argparse Namespace": lambda arguments: Ignored(),
    "types SimpleNamespace": lambda arguments: Ignored(),
    "pathlib PosixPath": lambda arguments: Ignored(),
    "pathlib WindowsPath": lambda arguments: Ignored(),
    "_codecs encode": lambda arguments: Ignored(),
    "numpy dtype": lambda arguments: Ignored(),
    "numpy.core.multiarray scalar": lambda arguments: Ignored(),
    "numpy._core.multiarray scalar": lambda arguments: Ignored(),
}


class Machine:
    """Interprets a pickle and builds plain containers and `Tensor`s."""

    def __init__(self):
        self.stack = []
        self.marks = []
        self.memo = {}

    def run(self, program):
        """Build the object that the pickle describes.

        Raises:
            Refused: for an opcode or a name that tensors do not need.
        """
        for opcode, argument, _ in pickletools.genops(program):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in VALUES:
                self.stack.append(argument)
            elif name in EMPTY:
                self.stack.append(EMPTY[name]())
            elif name not in NOTHING_TO_DO:
                self._step(name, argument)
        raise Refused("a pickle without a STOP opcode")

    def _step(self, name, argument):
        step = getattr(self, f"do_{name.lower()}", None)
        if step is None:
            raise Refused(f"the opcode {name}")
        step(argument)

    def _since_mark(self):
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def do_mark(self, _):
        self.marks.append(len(self.stack))

    def do_pop(self, _):
        self.stack.pop()

    def do_pop_mark(self, _):
        self._since_mark()

    def do_tuple(self, _):
        self.stack.append(tuple(self._since_mark()))

    def _tuple_of(self, count):
        if len(self.stack) < count:
            raise Refused("a tuple of missing values")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def do_tuple1(self, _):
        self._tuple_of(1)

    def do_tuple2(self, _):
        self._tuple_of(2)

    def do_tuple3(self, _):
        self._tuple_of(3)

    def do_append(self, _):
        self._extend([self.stack.pop()])

    def do_appends(self, _):
        self._extend(self._since_mark())

    do_additems = do_appends

    def _extend(self, items):
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif not isinstance(self.stack[-1], Ignored):
            raise Refused("an append to what is not a list")

    def do_setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def do_setitems(self, _):
        self._update(self._since_mark())

    def _update(self, items):
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise Refused("a key of what is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value

    def _remember(self, index):
        if index > MEMO_LIMIT:
            raise Refused(f"a memo of {index} entries")
        self.memo[index] = self.stack[-1]

    do_binput = do_long_binput = lambda self, index: self._remember(index)

    def do_memoize(self, _):
        self._remember(len(self.memo))

    def do_binget(self, index):
        self.stack.append(self.memo[index])

    do_long_binget = do_binget

    def do_global(self, argument):
        self.stack.append(Name(argument))

    def do_stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(f"{module} {name}"))

    def do_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of what is not a function")
        if function not in CALLS:
            raise Refused(f"a call of {function.replace(' ', '.')}")
        self.stack.append(CALLS[function](arguments))

    do_newobj = do_reduce

    def do_build(self, _):
        self.stack.pop()

    def do_binpersid(self, _):
        kind, storage, key, _, count = self.stack.pop()
        storage = storage.rpartition(" ")[2] if isinstance(storage, Name) else None
        if kind != "storage" or storage not in STORAGES or type(count) is not int:
            raise Refused(f"a storage of an unknown dtype ({storage})")
        self.stack.append(Storage(STORAGES[storage], str(key), count))


def read_torch(path):
    """Open a `.pth` or `.pt` file of tensors.

    Args:
        path: `pathlib.Path`.

    Returns:
        `ArrayFile`.

    Raises:
        CheckpointError: when the file wants more than tensors, is damaged, or
            has no weights in it.
    """
    members = archive.members(path)
    program = [name for name in members if name.split("/")[-1] == "data.pkl"]
    if len(program) != 1 or members[program[0]].file_size > PROGRAM_LIMIT:
        raise CheckpointError(
            f"{path}: a PyTorch file must hold one data.pkl of at most "
            f"{PROGRAM_LIMIT} bytes, got {len(program)}. Save it with torch.save."
        )
    folder = program[0].removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    if order is not None and archive.read(path, order, 16) != b"little":
        raise CheckpointError(
            f"{path}: numbers must be little-endian. Save it on another machine."
        )
    tree = _run(path, archive.read(path, members[program[0]]))
    weights, wrap, others = _weights(path, tree)
    entries = {
        name: _entry(path, members, f"{folder}data/", name, tensor)
        for name, tensor in weights.items()
    }
    notes = {"wrap": wrap}
    if others:
        names = ", ".join(map(repr, others))
        notes["said"] = f"weights were taken from {wrap!r}; left out was {names}."
    return ArrayFile(path, "pth", entries, notes=notes)


def _run(path, program):
    try:
        return Machine().run(program)
    except Refused as err:
        if "__torch__" in str(err):
            raise CheckpointError(
                f"{path}: must hold tensors, got a program of torch.jit (TorchScript), "
                "as OpenAI's CLIP comes. Nothing was run. Save model.state_dict()."
            ) from err
        raise CheckpointError(
            f"{path}: must hold nothing but tensors, got {err}. Nothing of it was run. "
            "Save the weights alone, best as .safetensors."
        ) from err
    except (ValueError, TypeError, IndexError, KeyError, UnicodeError) as err:
        raise CheckpointError(
            f"{path}: the list of tensors must be readable, got damage ({err}). "
            "Download it again."
        ) from err


def _weights(path, tree):
    """(name -> Tensor, the keys that it was wrapped in, those of other copies)."""
    candidates = dict(_states(tree, (), _named)) or dict(_states(tree, (), bool))
    if not candidates:
        raise CheckpointError(
            f"{path}: must hold a dictionary of tensors, at the top or under a key "
            f"such as {', '.join(WRAPS[:8])}. Save model.state_dict()."
        )
    ranks = {keys: [_rank(key) for key in keys] for keys in candidates}
    best = min(candidates, key=lambda keys: ranks[keys])
    others = [".".join(keys) for keys in candidates if keys != best]
    return candidates[best], ".".join(best), others


def _rank(key):
    """Rank of a key; known ones first."""
    return WRAPS.index(key) if key in WRAPS else len(WRAPS)


def _named(tensors):
    """Whether names are like "head.weight", or those of a layer alone."""
    return any("." in name for name in tensors) or {"weight", "bias"} <= set(tensors)


def _states(tree, keys, wanted):
    """(keys, name -> Tensor) of every dictionary of tensors accepted."""
    if not isinstance(tree, dict):
        return
    tensors = {
        name: value
        for name, value in tree.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if wanted(tensors):
        yield keys, tensors
    elif len(keys) < DEPTH:
        for name, value in tree.items():
            if isinstance(name, str) and name not in OTHERS:
                yield from _states(value, (*keys, name), wanted)


def _entry(path, members, folder, name, tensor):
    check_shape(path, name, tensor.shape)
    info = members.get(folder + tensor.storage.key)
    item = np.dtype(DTYPES[tensor.storage.dtype]).itemsize
    if info is None or info.file_size != tensor.storage.count * item:
        got = "nothing" if info is None else f"{info.file_size} bytes"
        raise CheckpointError(
            f"{path}: {name!r} must have {tensor.storage.count * item} bytes of "
            f"numbers, got {got}. Download it again; the file may be cut off."
        )

    def load():
        raw = archive.read(path, info)
        flat = decode(raw, tensor.storage.dtype, (tensor.storage.count,))[
            tensor.offset :
        ]
        strides = [step * flat.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides)
        return np.ascontiguousarray(view)

    return Entry(tensor.shape, tensor.storage.dtype, load)
