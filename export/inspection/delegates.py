"""What accelerators of phones and small computers refuse, by their published rules.

No accelerator is asked: a file that passes may still be refused by a driver, and an
operator that is refused runs on the processor.
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
# Operators that Arm's Ethos-U takes, the NPU of microcontrollers. Source: Vela 3.6,
# SUPPORTED_OPS.md, "TFLite Summary Table" and "Generic Constraints".
NPU = frozenset(
    """ABS ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS
    FULLY_CONNECTED HARD_SWISH LEAKY_RELU LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL
    PACK PAD PRELU QUANTIZE RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR SHAPE SLICE SOFTMAX SPLIT SPLIT_V SQUEEZE STRIDED_SLICE SUB
    TANH TRANSPOSE_CONV UNPACK""".split()
)
NPU_DTYPES = frozenset({"int8", "uint8", "int16", "int32"})
RULES = {"gpu": (GPU, GPU_DTYPES), "npu": (NPU, NPU_DTYPES)}


def refusals(anatomy, target):
    """Why some operators of a `.tflite` file would stay on the processor.

    Args:
        anatomy: `Anatomy`. target: "gpu" (LiteRT's GPU delegate) or "npu" (integers
            only, Arm Ethos-U).

    Returns:
        {"operators": share of them that is taken, "macs": share of the
        multiplications, "refused": list of sentences, one per kind of reason}.
    """
    supported, dtypes = RULES[target]
    reasons, taken, macs = collections.defaultdict(list), 0, 0
    for op in anatomy.operators:
        reason = _reason(anatomy, op, supported, dtypes)
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
