"""Operators, tensors and weights of a file, in one form for every format."""

import collections
import dataclasses
import math

# What an operator multiplies. A layer with integer weights and a float input is
# "dynamic": the runtime quantizes the input while it multiplies.
KINDS = ("integer", "dynamic", "float")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor: name, dtype, shape, whether it is constant.

    Args:
        dtype: "float32", "int8", "int4" and so on.
        shape: with None for open sides, or None when unknown.
        constant: whether the file holds its values. size_bytes: of those values.
        storage: which values; equal for tensors that share them.
        scale, zero: of an activation stored in integers with one scale, else None.
    """

    name: str
    dtype: str
    shape: tuple | None
    constant: bool = False
    size_bytes: int = 0
    storage: object = None
    scale: float | None = None
    zero: int = 0

    @property
    def is_float(self):
        """Whether its dtype is a floating-point one."""
        return "float" in self.dtype

    @property
    def is_quantized(self):
        """Whether its dtype is an integer of 16 bits or less."""
        return self.dtype in ("int4", "int8", "uint8", "int16", "uint16", "uint4")


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator: kind, inputs, outputs, multiplications.

    Args:
        name: of its kind. inputs, outputs: keys of tensors.
        macs: multiplications of dense, convolution and matrix products.
        kind: one of KINDS for those, else "".
    """

    name: str
    inputs: tuple
    outputs: tuple
    macs: int = 0
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """All operators and tensors of a file.

    Args:
        format: "tflite" or "onnx". tensors: key -> `Tensor`.
        operators: in order of execution. inputs, outputs: keys.
        graph: number of the graph among those of the file.
    """

    format: str
    tensors: dict
    operators: list
    inputs: tuple
    outputs: tuple
    graph: int = 0

    def makers(self):
        """Key -> the operator that makes the tensor."""
        return {key: op for op in self.operators for key in op.outputs}

    def label(self, operator):
        """Name an operator for errors: kind and output tensor."""
        made = self.tensors[operator.outputs[0]]
        return f"{operator.name} ({short(made.name)})"


def short(name, most=60):
    """The last part of a tensor's name, which identifies it.

    >>> short("a/b;vit/block_0/add", 12)
    'block_0/add'
    """
    name = name.split(";")[-1]
    while len(name) > most and "/" in name:
        name = name.partition("/")[2]
    return name[-most:]


def product_kind(first, second):
    """Which of KINDS a product is, by the dtypes of its two tensors.

    Args:
        first: `Tensor`, the activation. second: `Tensor`, mostly the weight.
    """
    if first.is_quantized and second.is_quantized:
        return "integer"
    return "dynamic" if second.is_quantized else "float"


def count_macs(shape, depth):
    """Multiplications of a result of some shape, open dimensions counted as 1.

    >>> count_macs((None, 4, 8), 3)
    96
    """
    return depth * math.prod(side or 1 for side in shape)


def compute_shares(anatomy):
    """Share of the multiplications per kind.

    Returns:
        {"integer": share, "dynamic": share, "float": share, "macs": count}; shares
        from 0 to 1.
    """
    sums = dict.fromkeys(KINDS, 0)
    for op in anatomy.operators:
        if op.macs:
            sums[op.kind] += op.macs
    total = sum(sums.values())
    shares = {kind: value / total if total else 0.0 for kind, value in sums.items()}
    return {**shares, "macs": total}


def dtype_table(anatomy):
    """Input and output dtypes per operator: {name: {"int8 > int8": count}}."""
    table = collections.defaultdict(collections.Counter)
    for op in anatomy.operators:
        sides = []
        for keys in (op.inputs, op.outputs):
            found = [anatomy.tensors[key] for key in keys]
            moving = [t for t in found if not t.constant] or found
            sides.append("/".join(sorted({t.dtype for t in moving})))
        table[op.name][" > ".join(sides)] += 1
    return {name: dict(counts) for name, counts in sorted(table.items())}


def highest_rank(anatomy):
    """(rank, operator that makes a tensor of it)."""
    best = (0, "")
    for op in anatomy.operators:
        for key in op.outputs:
            rank = len(anatomy.tensors[key].shape or ())
            if rank > best[0]:
                best = (rank, anatomy.label(op))
    return best


def weight_bytes(anatomy, part_of):
    """Bytes of the weights per part of the model.

    Args:
        anatomy: `Anatomy`. part_of: {position of an operator: name of its part}.

    Returns:
        {part: bytes}; values that several parts share count once, for the first.
    """
    seen, sums = set(), collections.Counter()
    for index, op in enumerate(anatomy.operators):
        for key in op.inputs:
            tensor = anatomy.tensors[key]
            if tensor.constant and tensor.storage not in seen:
                seen.add(tensor.storage)
                sums[part_of[index]] += tensor.size_bytes
    return dict(sums)
