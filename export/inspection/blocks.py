"""The residual stream and blocks of a transformer, found in an operator graph."""

ADDS = ("ADD", "Add")
# Operators allowed between two additions to the residual stream.
LINKS = (
    "QUANTIZE",
    "DEQUANTIZE",
    "CAST",
    "RESHAPE",
    "STRIDED_SLICE",
    "SLICE",
    "GATHER",
    "QuantizeLinear",
    "DequantizeLinear",
    "Cast",
    "Reshape",
    "Identity",
    "Slice",
    "Gather",
)


def residual_stream(anatomy):
    """Find the tensors of the residual stream.

    A residual addition adds to a tensor something that was computed from that
    tensor. The stream is the longest chain of such additions, each adding to the
    result of the one before. Names play no part.

    Args:
        anatomy: `Anatomy`.

    Returns:
        Keys, first what enters the first block, then the result of each addition;
        empty when there is none.
    """
    makers = anatomy.makers()
    behind = _ancestors(anatomy)
    previous = {}
    for op in anatomy.operators:
        if op.name in ADDS and len(op.inputs) == 2:
            skipped = _skipped(op, makers, behind, anatomy)
            if skipped is not None:
                previous[op.outputs[0]] = skipped
    chains, length = {}, {}
    for key in (op.outputs[0] for op in anatomy.operators if op.outputs):
        if key in previous:
            before = previous[key]
            chains[key] = before
            length[key] = 1 + length.get(before, 0)
    if not length:
        return []
    last = max(length, key=length.get)
    stream = [last]
    while stream[-1] in chains:
        stream.append(chains[stream[-1]])
    return stream[::-1]


def _ancestors(anatomy):
    """Key -> bit set of all tensors that it was computed from, itself included."""
    bits, behind = {}, {}

    def bit(key):
        return bits.setdefault(key, 1 << len(bits))

    for key in anatomy.inputs:
        behind[key] = bit(key)
    for op in anatomy.operators:
        joint = 0
        for key in op.inputs:
            joint |= behind.get(key, 0)
        for key in op.outputs:
            behind[key] = joint | bit(key)
    return {key: (bits[key], value) for key, value in behind.items()}


def _skipped(op, makers, behind, anatomy):
    """The skip input of a residual addition, or None."""
    first, second = (_root(key, makers, anatomy) for key in op.inputs)
    if first not in behind or second not in behind or first == second:
        return None
    for one, other in ((first, second), (second, first)):
        if behind[other][1] & behind[one][0]:
            return one
    return None


def _root(key, makers, anatomy):
    """Follow operators that only move values back to their source."""
    while key in makers and makers[key].name in LINKS:
        moving = [k for k in makers[key].inputs if not anatomy.tensors[k].constant]
        if not moving:
            return key
        key = moving[0]
    return key


def name_points(stream):
    """Name the tensors of a residual stream.

    >>> name_points([7, 9, 11])
    ['stem', 'block_0.attention', 'block_0.mlp']
    """
    if len(stream) % 2 == 0:
        return ["stem", *(f"addition_{k}" for k in range(len(stream) - 1))]
    halves = ("attention", "mlp")
    return [
        "stem",
        *(f"block_{k // 2}.{halves[k % 2]}" for k in range(len(stream) - 1)),
    ]


def parts(anatomy):
    """Map each operator to its part of the model.

    Returns:
        {position of the operator: "stem", "block_3.mlp", "head" and so on}; all are
        "model" where no residual stream is found.
    """
    stream = residual_stream(anatomy)
    if not stream:
        return dict.fromkeys(range(len(anatomy.operators)), "model")
    places = {key: k for k, op in enumerate(anatomy.operators) for key in op.outputs}
    part_of = {}
    for name, key in zip(name_points(stream), stream, strict=True):
        stack = [key]
        while stack:
            place = places.get(stack.pop())
            if place is not None and place not in part_of:
                part_of[place] = name
                stack += anatomy.operators[place].inputs
    return {k: part_of.get(k, "head") for k in range(len(anatomy.operators))}
