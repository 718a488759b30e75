"""Largest activation of a file, compared with the limit of 16-bit floats."""

import numpy as np

from keras_vit.export.inspection import onnx, tflite
from keras_vit.export.inspection.values import run_with

LARGEST = 65504.0  # of IEEE 754 binary16
IMAGES = 4
READERS = {"tflite": tflite.read, "onnx": onnx.read}


def largest_activation(path, file_format, images, signature=None):
    """Find the largest magnitude of any float tensor in a file.

    Sums inside one operator are not seen, only what it gives.

    Args:
        path: `.tflite` or `.onnx` file. file_format: its format.
        images: (N, H, W, C), as the file takes them; the first 4 are used.
        signature: of the file; None for its first.

    Returns:
        {"largest": magnitude, "operator": what makes it,
        "fits": whether it is below 65504}, or None when the file has no float tensor
        or does not show what is inside.
    """
    if file_format not in READERS:
        return None
    anatomy = READERS[file_format](path, signature)
    computed = [
        (op, key)
        for op in anatomy.operators
        for key in op.outputs
        if anatomy.tensors[key].is_float and op.name != "Cast"
    ]
    if not computed:
        return None
    images = np.ascontiguousarray(images[:IMAGES])
    largest = [0.0] * len(computed)
    for image in images:  # one by one: all tensors of a large model fill the memory
        found = run_with(path, anatomy, [key for _, key in computed], image[None])
        sizes = [float(np.abs(values).max(initial=0.0)) for values in found]
        largest = [max(pair) for pair in zip(largest, sizes, strict=True)]
    place = int(np.argmax(np.nan_to_num(largest, nan=np.inf)))
    return {
        "largest": largest[place],
        "operator": anatomy.label(computed[place][0]),
        "fits": bool(largest[place] < LARGEST),
    }
