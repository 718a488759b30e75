"""Quantization of Vision Transformers, on the graph of a `.tflite` file.

`recipe` is the record of a recipe, `recipes` the table of them. `calibration` observes
activation ranges on images; `calibrate` keeps them as `Ranges`. `graph` reads, edits
and writes a file's graph. `rewrites` change it without changing its outputs, so that
its tensors fit into 8 bits: folded constants, a rotated residual stream, split outlier
channels. `algorithms` round: static_int8, full_int8, int4 with GPTQ, and `sensitivity`,
which tells the layers to keep in float. `prepare_model` rewrites Keras models, `qat`
trains one under its quantization, `auto` chooses the smallest recipe.
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
