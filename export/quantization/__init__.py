"""Quantization of Vision Transformers, on the graph of a `.tflite` file.

`graph` reads, edits and writes such a file. `folds`, `residual` and `overflow` rewrite
it without changing what it computes, so that `dense` finds numbers that fit into
8 bits; `observe` looks at calibration images, `static` puts all together for dense
layers in integers, and `integer`, with `integer_writer`, `integer_norm` and
`integer_gelu`, for every operator.
`int4` rounds weights to 4 bits: `walk` leads calibration images through the graph,
`gptq` rounds a layer on what it sees there, `heads` knows attention, `nibbles`
how 4 bits lie in a file. `models` holds what can be done to a Keras model before, `qat`
trains one under its integers, and `trained` takes these to the file.
What images said can be kept: `calibrate` gives `Ranges`, and `sensitivity`
tells which layers to spare.
Everything works on the graph's structure, never on names of layers; what a rewrite
does not recognise it leaves as it is.
"""

from keras_vit.export.quantization.algorithms.sensitivity import (
    Sensitivity,
    sensitivity,
)
from keras_vit.export.quantization.calibrate import calibrate
from keras_vit.export.quantization.calibration.saved_ranges import Ranges
from keras_vit.export.quantization.qat.finetune import quantize_aware

__all__ = ["Ranges", "Sensitivity", "calibrate", "quantize_aware", "sensitivity"]
