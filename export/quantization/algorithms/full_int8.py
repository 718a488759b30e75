"""full_int8 and int16x8: every operator of a graph in integers."""

import dataclasses
import pathlib

import numpy as np

from keras_vit import ranges
from keras_vit.errors import UnsupportedLayer
from keras_vit.export.images.pixel_range import image_range
from keras_vit.export.quantization.algorithms.integer_layernorm import even_step
from keras_vit.export.quantization.algorithms.integer_ops import IntegerWriter
from keras_vit.export.quantization.algorithms.prepare_graph import (
    prepare,
    spared_layers,
    split_all,
)
from keras_vit.export.quantization.algorithms.trained_ranges import (
    TrainedIntegers,
    observed_trained,
)
from keras_vit.export.quantization.calibration.saved_ranges import count_of
from keras_vit.export.quantization.calibration.statistics import collect_statistics
from keras_vit.export.quantization.graph.graph import (
    FLOAT32,
    INT8,
    INT16,
    UINT8,
    TFLiteGraph,
    TFLiteTensor,
)
from keras_vit.export.quantization.graph.packing import layer_of
from keras_vit.export.runtime.console import say


def full_int8(source, target, images, verbose=1, mode="none"):
    """Quantize every operator to int8, for chips and microcontrollers without floats.

    Dense layers (as convolutions of 1x1), attention, softmax and GELU, as x times a
    sigmoid, work on 8 bits; the residual stream and the norms on 16, in steps that are
    powers of two. Only operators that LiteRT, tflite-micro and Arm's Ethos-U all take
    are used, in forms in which they give the same integers; see docs/export.md. The
    image is uint8: the bytes of a photograph where the model's range is the same for
    all colours ("google"), because those are what cameras and MediaPipe hold;
    otherwise quantize with the tensor's own scale and zero. Outputs are int8 with a
    scale and zero. No float32 tensor is left in the file.

    Source of the arithmetic: Jacob et al. 2018, arXiv:1712.05877, section 2; of the
    16-bit stream, as a way to keep its outliers: Bondarenko et al. 2021,
    arXiv:2109.12948, section 4 (mixed precision).

    Args:
        source: float32 `.tflite` file with a batch of 1. target: file to write.
        images: (N, H, W, C) float32, as `read_calibration` gives them, `Ranges`, or
            `TrainedIntegers`, for full_int8.
        verbose: 0 for no progress.
        mode: value range of the images, see `keras_vit.preprocess_input`.

    Raises:
        UnsupportedLayer: naming an operator that has no integer form here.
    """
    graph, seen, branches = _observed("full_int8", source, images, verbose)
    writer = IntegerWriter(graph, seen, "full_int8", branches)
    image, outputs = graph.inputs[0], list(graph.outputs)
    scale, zero, shift = image_codes(mode, seen.limits[image])
    graph.tensors[image] = _retyped(graph.tensors[image], UINT8, scale, zero)
    signed = graph.append(_retyped(graph.tensors[image], INT8, scale, zero - 128))
    writer.add("QUANTIZE", [image], signed)
    writer.write(signed, shift)
    for number in outputs:
        twin = writer.quantized(number, wide=False)
        _put(graph, twin, number)
    audit(graph, "full_int8")
    pathlib.Path(target).write_bytes(graph.save()[0])


def int16x8(source, target, images, verbose=1, mode="none"):
    """Quantize weights to 8 bits and activations to 16, with almost no loss.

    For chips whose accelerators know this pair; on a phone's processor the kernels are
    tens of times slower than in float32, and tflite-micro has none for its GELU. Image
    and outputs are int16 with a scale and zero; no float32 tensor is in the file.

    Source: Bondarenko et al. 2021, arXiv:2109.12948, section 4 (16-bit activations
    where 8 bits are not enough), here everywhere.

    Args:
        source, target, images, verbose, mode, Raises: as in `full_int8`.
    """
    graph, seen, _ = _observed("int16x8", source, images, verbose)
    writer = IntegerWriter(graph, seen, "int16x8", wide=True)
    image, outputs = graph.inputs[0], list(graph.outputs)
    low, high = image_range(mode, seen.limits[image])
    step = even_step(max(-low, high))
    graph.tensors[image] = _retyped(graph.tensors[image], INT16, step, 0)
    writer.write(image)
    for number in outputs:
        _put(graph, writer.quantized(number, wide=True), number)
    audit(graph, "int16x8")
    pathlib.Path(target).write_bytes(graph.save()[0])


def _observed(recipe, source, images, verbose):
    """Prepare the float graph; return it, its `Statistics`, and the int16 operators."""
    if isinstance(images, TrainedIntegers):
        say(f"calibrating on {count_of(images.images)} images", verbose)
        return observed_trained(source, images, verbose)
    graph = TFLiteGraph(source)
    prepare(graph)
    kept = spared_layers(graph, images)
    say(f"calibrating on {count_of(images)} images", verbose)
    branches = split_all(graph, images, verbose)
    return graph, collect_statistics(graph, images, verbose), [*branches, *kept]


def image_codes(mode, seen):
    """Scale, zero point and shift of a uint8 image: `x = scale * (q - zero) + shift`.

    Where all colours share one range, the code is the pixel: 255 steps from low to
    high. A zero point is a whole number, which leaves a rest of half a step or less;
    the first dense layer takes it as `shift`.

    Args:
        mode: value range. seen: (low, high) of the images.

    Returns:
        (scale, zero, shift).

    >>> [round(number, 4) for number in image_codes("google", None)]
    [0.0078, 127, -0.0039]
    """
    low, high = image_range(mode, seen)
    scale = (max(high, 0.0) - min(low, 0.0)) / 255
    zero = int(np.clip(np.ceil(-min(low, 0.0) / scale - 0.5), 0, 255))
    rows = ranges.numbers(mode)
    pixels = rows is not None and all(len(set(row)) == 1 for row in rows)
    return scale, zero, low + scale * zero if pixels else 0.0


def _retyped(tensor, new_type, scale, zero):
    scale, zero = np.array([scale], "float32"), np.array([zero], "int64")
    return TFLiteTensor(tensor.name, tensor.shape, new_type, None, scale, zero)


def _put(graph, twin, number):
    """Replace an output tensor by its integer twin, under the same number."""
    old, new = graph.tensors[number], graph.tensors[twin]
    graph.tensors[number] = dataclasses.replace(new, name=old.name)
    maker = graph.maker(twin)
    maker.outputs = [number if out == twin else out for out in maker.outputs]
    graph.redirect(twin, number)


def audit(graph, recipe):
    """Check that no tensor and no operator is left in float.

    Args:
        graph: integer `TFLiteGraph`. recipe: name, for the message.

    Raises:
        UnsupportedLayer: naming the first float tensor.
    """
    for op in graph.ordered():
        for number in {*op.inputs, *op.outputs} - {-1}:
            if graph.tensors[number].type == FLOAT32:
                raise UnsupportedLayer(
                    f"{recipe}: must hold no float tensor, got one at {op.name} "
                    f"{layer_of(graph, op)!r}. Use "
                    "quantization='static_int8', and report the model's options."
                )
