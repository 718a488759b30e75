"""Operators that GPU, NPU and microcontroller delegates refuse, by published rules.

The rules are read from documents: a file that passes may still be refused by a driver,
and an operator that an accelerator refuses runs on the processor. Where Vela or
tflite-micro is installed (`keras-vit processors`), `tool_refusals` asks that tool
instead, for files in integers.
"""

import collections

MAX_RANK = 4
# Operators with a parser in LiteRT's GPU delegate (OpenCL, OpenGL, Metal). Source:
# https://github.com/google-ai-edge/LiteRT, tflite/delegates/gpu/common/
# model_builder.cc, NewOperationParser, read in 2025.
GPU = frozenset(
    """ABS ADD ADD_N AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS CUMSUM
    DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR
    FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH
    LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE
    SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE
    SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNPACK""".split()
)
GPU_DTYPES = frozenset({"float32", "float16", "int8", "uint8", "int32", "bool"})
# Operators that Arm's Ethos-U55 and U65 take, the NPUs of microcontrollers; U85 takes
# these and more. Source: ethos-u-vela 5.2.0 (PyPI), `vela --supported-ops-report`,
# "Ethos-U55 and Ethos-U65 TFLite Summary Table", generic and specific constraints.
NPU = frozenset(
    """ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D
    DEPTHWISE_CONV_2D ELU EXP EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG
    LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK PAD PADV2 PRELU
    QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPLIT SPLIT_V
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK""".split()
)
NPU_DTYPES = frozenset({"int8", "uint8", "int16", "int32"})
BYTES = frozenset({"int8", "uint8"})
NPU_ONLY = {"BATCH_MATMUL": BYTES, "GELU": BYTES, "ELU": BYTES}
# Operators that tflite-micro's Python interpreter has. Source: tflite-micro
# 0.dev20261023182759 (PyPI), built from commit 8f6596d of
# https://github.com/tensorflow/tflite-micro, the functions Register_* of its library.
# Its RSQRT of int16 gives other numbers than LiteRT's, by thousands: not counted.
MICRO = frozenset(
    """ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL
    BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION
    CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
    DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV
    FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
    L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT
    LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX
    REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2
    ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT
    SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH
    TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE
    ZEROS_LIKE""".split()
)
MICRO_DTYPES = frozenset(
    {"float32", "int8", "uint8", "int16", "int32", "int64", "bool"}
)
MICRO_ONLY = {"RSQRT": frozenset({"float32", "int8"})}
# Target -> operators, types of data, and narrower types of single operators.
RULES = {
    "gpu": (GPU, GPU_DTYPES, {}),
    "npu": (NPU, NPU_DTYPES, NPU_ONLY),
    "microcontroller": (MICRO, MICRO_DTYPES, MICRO_ONLY),
}


def refusals(anatomy, target):
    """Why some operators of a `.tflite` file would run on the CPU.

    Args:
        anatomy: `Anatomy`. target: "gpu" (LiteRT's GPU delegate), "npu" (integers
            only, Arm Ethos-U65) or "microcontroller" (tflite-micro).

    Returns:
        {"operators": share of them that is taken, "macs": share of the
        multiplications, "refused": list of sentences, one per kind of reason}.
    """
    supported, dtypes, narrow = RULES[target]
    reasons, taken, macs = collections.defaultdict(list), 0, 0
    for op in anatomy.operators:
        reason = _reason(anatomy, op, supported, narrow.get(op.name, dtypes))
        if reason:
            reasons[reason].append(op)
        else:
            taken, macs = taken + 1, macs + op.macs
    total = sum(op.macs for op in anatomy.operators)
    return {
        "operators": taken / max(len(anatomy.operators), 1),
        "macs": macs / total if total else 0.0,
        "refused": [
            _sentence(anatomy, reason, operators)
            for reason, operators in reasons.items()
        ],
    }


def _reason(anatomy, op, supported, dtypes):
    """The first rule that an operator breaks, or ""."""
    if op.name not in supported:
        return "not supported"
    for key in (*op.inputs, *op.outputs):
        tensor = anatomy.tensors[key]
        if tensor.shape is not None and len(tensor.shape) > MAX_RANK:
            return f"rank {len(tensor.shape)}"
        if tensor.shape is None or None in tensor.shape:
            return "open shape"
        if not tensor.constant and tensor.dtype not in dtypes:
            return tensor.dtype
    return ""


def _sentence(anatomy, reason, operators):
    counts = collections.Counter(op.name for op in operators)
    names = ", ".join(f"{count} {name}" for name, count in counts.most_common(4))
    more = f" and {len(counts) - 4} other kinds" if len(counts) > 4 else ""
    return f"{reason}: {names}{more}, first {anatomy.label(operators[0])}"


def tool_refusals(path, target, refused, verbose=0):
    """Operators that Vela or tflite-micro itself refuses, where it is installed.

    Args:
        path: `.tflite` file in integers. target: as in `refusals`.
        refused: what that said. verbose: 0 for silence.

    Returns:
        The same with the tool's word in place of the rules', and "source", its name
        and version; `found` where there is no tool.
    """
    from keras_vit.export.processors import parts, targets

    name = TOOLS.get(target)
    if name is None or parts.obstacle(targets.TARGETS[name]):
        return refused
    return _ASK[name](path, targets.TARGETS[name], refused, verbose)


def _ask_vela(path, target, rules, verbose):
    from keras_vit.export.processors import vela

    try:
        report = vela.compile_file(path, target.cpu, verbose=verbose)
    except ChildProcessError as err:
        return _answer(rules, "Vela", 0.0, [str(err)])
    refused = [f"left on the processor: {name}" for name in report.left]
    source = f"Vela {report.version}"
    return _answer(rules, source, report.share / 100, refused)


def _ask_tflite_micro(path, target, rules, verbose):
    from keras_vit.export.processors import tflite_micro

    try:
        child = tflite_micro.start(target, path, None, verbose=verbose)
    except ChildProcessError as err:
        return _answer(rules, "tflite-micro", rules["operators"], [str(err)])
    child.close()
    made = _answer(rules, child.first["runtime"], 1.0, [])
    return {**made, "arena_bytes": child.first["arena_bytes"]}


def _answer(rules, source, operators, refused):
    macs = rules["macs"] if refused else 1.0
    made = {"operators": operators, "macs": macs, "refused": refused}
    return {**made, "source": source}


TOOLS = {"npu": "ethos-u65", "microcontroller": "tflite-micro"}
_ASK = {"ethos-u65": _ask_vela, "tflite-micro": _ask_tflite_micro}
