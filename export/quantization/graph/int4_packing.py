"""4-bit integers packed two to a byte, and the scales of their blocks."""

import dataclasses

import numpy as np

# Types of the schema.
FLOAT16, INT4 = 1, 17


def pack(integers):
    """Pack two 4-bit integers to a byte, the first in the low half.

    >>> pack(np.array([1, -1, 7]))
    array([241,   7], dtype=uint8)
    """
    flat = np.asarray(integers).reshape(-1).astype("int8").view("uint8") & 15
    flat = np.pad(flat, (0, flat.size % 2))
    return flat[::2] | flat[1::2] << 4


def unpack(content, shape):
    """Unpack bytes to int8 of a shape.

    >>> unpack(b"\\xf1\\x07", (3,))
    array([ 1, -1,  7], dtype=int8)
    """
    pairs = np.frombuffer(content, "uint8")
    flat = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1)
    flat = flat[: int(np.prod(shape))].astype("int8").reshape(shape)
    return (flat ^ 8) - np.int8(8)


def parameters(schema, tensor, place):
    """Quantization parameters of a tensor with blocks.

    Args:
        schema: module. tensor: `TFLiteTensor`.
        place: number of the tensor of its scales.
    """
    quantization = schema.QuantizationParametersT()
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantization.details = schema.BlockwiseQuantizationT()
    quantization.details.scales, quantization.details.zeroPoints = place, -1
    quantization.details.blockSize = tensor.block
    return quantization


def scales(tensor):
    """The tensor that holds the scales of another one's blocks."""
    return dataclasses.replace(
        tensor,
        name=tensor.name + "/scales",
        shape=tensor.scale.shape,
        type=FLOAT16,
        data=tensor.scale.astype("float16"),
        scale=None,
        block=0,
    )
