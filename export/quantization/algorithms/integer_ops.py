"""The integer form of every operator of a float graph."""

import copy
import functools
import math

import numpy as np

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.quantization.algorithms import integer_layernorm
from keras_vit.export.quantization.algorithms.integer_gelu import unit_for, write_gelu
from keras_vit.export.quantization.graph import unit_norms
from keras_vit.export.quantization.graph.dense_weights import (
    LARGEST_BIAS,
    least_scales,
    quantize_weight,
    scale_and_zero,
)
from keras_vit.export.quantization.graph.find_norms import bias_of, is_dense
from keras_vit.export.quantization.graph.graph import (
    INT8,
    INT16,
    INT32,
    INT64,
    TFLiteOperator,
    TFLiteTensor,
)
from keras_vit.export.quantization.graph.packing import layer_of

TOP = 32767
# GELU(-4) = -1.3e-4 is worth no code among 256, GELU(-8) none among 65536.
FLOORS = {False: -4.0, True: -8.0}
VALID = 1  # padding, in the schema
# Operators that move numbers without touching them, and the place of their data.
MOVERS = {
    "RESHAPE": 0,
    "TRANSPOSE": 0,
    "STRIDED_SLICE": 0,
    "PAD": 0,
    "SPLIT": 1,
    "SQUEEZE": 0,
    "EXPAND_DIMS": 0,
}
# Versions of the operators, for int8 and for int16 data, as the converter counts them:
# https://github.com/tensorflow/tensorflow, lite/tools/versioning/op_version.cc.
VERSIONS = {
    "ADD": (2, 3),
    "BATCH_MATMUL": (2, 3),
    "CONV_2D": (3, 4),
    "DEQUANTIZE": (2, 3),
    "FULLY_CONNECTED": (5, 7),
    "GELU": (2, 2),
    "LOGISTIC": (2, 3),
    "MEAN": (2, 3),
    "MUL": (3, 4),
    "PAD": (2, 3),
    "QUANTIZE": (1, 2),
    "RSQRT": (2, 3),
    "SOFTMAX": (2, 3),
    "SPLIT": (2, 4),
    "STRIDED_SLICE": (2, 2),
    "SUB": (3, 5),
    "TANH": (2, 3),
    "TRANSPOSE": (2, 5),
}


class IntegerWriter:
    """Rewrites a prepared float graph to integers, operator by operator.

    Dense layers and attention work on int8; sums, norms and whatever else multiplies
    two results work on int16, the residual stream among them. What is written is what
    LiteRT, tflite-micro and Ethos-U share, but for GELU when all works on int16.

    Args:
        graph: float `TFLiteGraph`, after `prepare` and `split_all`.
        seen: `Statistics`, of every tensor that the graph computes.
        recipe: name, for messages.
        wide: operators to work on int16: dense layers, or all as True.

    Attributes:
        numbers: {float tensor: its integer twin}, filled on the way.
        units: {float tensor: what its twin's scale is multiplied by}, where it is.
    """

    def __init__(self, graph, seen, recipe, wide=()):
        self.graph, self.limits, self.narrow = graph, seen.limits, seen.narrow
        self.energies = seen.energies
        self.recipe, self.everywhere = recipe, wide is True
        self._wide = set() if wide is True else {id(op) for op in wide}
        self.units = {}
        self.numbers, self._casts, self._shared, self._written = {}, {}, {}, []
        self._kinds = {
            "ADD": self._sum,
            "SUB": self._sum,
            "MUL": self._product,
            "FULLY_CONNECTED": self._dense,
            "BATCH_MATMUL": self._matmul,
            "SOFTMAX": self._softmax,
            "LOGISTIC": self._softmax,
            "TANH": self._tanh,
            "GELU": functools.partial(write_gelu, self),
            "MINIMUM": self._minimum,
            "MEAN": self._mean,
            **dict.fromkeys(MOVERS, self._move),
        }

    def write(self, image, shift=0.0):
        """Replace all operators.

        Args:
            image: number of the integer image, which stands for the graph's input.
            shift: what its codes stand for beyond what its scale and zero say.

        Raises:
            UnsupportedLayer: naming operator and layer, before anything is changed.
        """
        graph = self.graph
        norms = {id(n.product): n for n in unit_norms.find_unit_norms(graph)}
        skipped = {id(op) for norm in norms.values() for op in norm.inner}
        operators = [op for op in graph.ordered() if id(op) not in skipped]
        for op in operators:
            self._check(op)
        self.numbers[graph.inputs[0]] = image
        self._shift = (next((o for o in operators if is_dense(graph, o)), None), shift)
        for op in operators:
            if id(op) in norms:
                norm = norms[id(op)]
                self.numbers[norm.normed] = integer_layernorm.write_norm(self, norm)
            else:
                self._kinds[op.name](op)
        graph.operators = self._written

    def _check(self, op):
        if op.name in self._kinds and (not op.fused or op.name == "FULLY_CONNECTED"):
            return
        layer = layer_of(self.graph, op)
        raise UnsupportedLayer(
            f"{self.recipe}: every operator must have an integer form, got {op.name} "
            f"in layer {layer!r}. Use quantization='static_int8', which leaves what "
            "has none in float, or replace the layer."
        )

    # Pieces ---------------------------------------------------------------------

    def add(self, name, inputs, output, **options):
        """Append an operator to the result; gives its output."""
        wide = self.graph.tensors[output].type == INT16
        if name in ("ADD", "SUB"):
            options["potScaleInt16"] = False
        version = VERSIONS.get(name, (1, 1))[wide]
        self.graph.add(name, inputs, output, version, **options)
        self._written.append(self.graph.operators.pop())
        return output

    def copy_operator(self, op, inputs, outputs):
        """Append an operator with the options of another."""
        wide = self.graph.tensors[outputs[0]].type == INT16
        version = VERSIONS.get(op.name, (1, 1))[wide]
        raw = copy.copy(op.raw)
        self._written.append(TFLiteOperator(op.name, [*inputs], outputs, raw, version))

    def make(self, like, low, high, wide, shape=None):
        """Add an integer tensor with the name of another; returns its number."""
        old = self.graph.tensors[like]
        if wide:
            kind, scale, zero = INT16, integer_layernorm.even_step(max(-low, high)), 0
        else:
            kind, (scale, zero) = INT8, scale_and_zero(low, high)
        return self.append(old.name, shape or old.shape, kind, scale, zero)

    def append(self, name, shape, tensor_type, scale, zero, data=None):
        scale, zero = np.array([scale], "float32"), np.array([zero], "int64")
        made = TFLiteTensor(name, tuple(shape), tensor_type, data, scale, zero)
        return self.graph.append(made)

    def int8_tensor(self, name, shape, scale, zero):
        """Add an int8 tensor; returns its number."""
        return self.append(name, shape, INT8, scale, zero)

    def range_of(self, number, wide):
        """(low, high) of a tensor's quantization range, in 16 bits or in 8."""
        return self.limits[number] if wide else self.narrow[number]

    def quantized(self, number, wide):
        """Quantize a float tensor to 16 or 8 bits, once; returns its number.

        Args:
            number: of a tensor that is written already, or of a constant.
            wide: whether in int16.
        """
        value = self.graph.value(number)
        if value is not None:
            return self.constant(number, value, wide)
        twin = self.numbers[number]
        old = self.graph.tensors[twin]
        if (old.type == INT16) == wide:
            return twin
        if twin not in self._casts:
            if wide:  # all that the eight bits can hold
                ends = [end - int(old.zero[0]) for end in (-128, 127)]
                limits = [end * float(old.scale[0]) for end in ends]
            else:
                limits = self.range_of(number, wide)
            made = self.make(twin, *limits, wide)
            self._casts[twin] = self.add("QUANTIZE", [twin], made)
        return self._casts[twin]

    def constant(self, number, value, wide):
        """Quantize a float constant."""
        top, tensor_type = float(np.abs(value).max()), INT16 if wide else INT8
        scale = integer_layernorm.even_step(top) if wide else max(top, 1e-6) / 127
        codes = np.round(value / scale).astype("int16" if wide else "int8")
        codes = codes.reshape(value.shape or (1,))
        name = self.graph.tensors[number].name
        return self.append(name, codes.shape, tensor_type, scale, 0, codes)

    def reshaped(self, number, shape):
        """Reshape an integer tensor; returns its number."""
        if self.graph.tensors[number].shape == tuple(shape):
            return number
        size = TFLiteTensor("shape", (len(shape),), INT32, np.array(shape, "int32"))
        made = self.graph.like(number, shape=tuple(shape))
        return self.add("RESHAPE", [number, self.shared(size)], made)

    def shared(self, tensor):
        """Add a constant, once for all equal ones; returns its number."""
        scale = None if tensor.scale is None else tensor.scale.tobytes()
        key = (tensor.type, tensor.shape, tensor.data.tobytes(), scale)
        if key not in self._shared:
            self._shared[key] = self.graph.append(tensor)
        return self._shared[key]

    def wide_after(self, number):
        """Whether a dense layer on int16 reads this, through movers."""
        for op in self.graph.users(number):
            if id(op) in self._wide:
                return True
            if op.name in (*MOVERS, "GELU", "MINIMUM") and any(
                self.wide_after(out) for out in op.outputs
            ):
                return True
        return False

    # One function per operator ----------------------------------------------------

    def _move(self, op):
        inputs = list(op.inputs)
        place = MOVERS[op.name]
        inputs[place] = self.numbers[inputs[place]]
        old = self.graph.tensors[inputs[place]]
        outputs = []
        for out in op.outputs:
            float_ = self.graph.tensors[out]
            made = TFLiteTensor(
                float_.name, float_.shape, old.type, None, old.scale, old.zero
            )
            self.numbers[out] = self.graph.append(made)
            outputs.append(self.numbers[out])
        self.copy_operator(op, inputs, outputs)

    def _dense(self, op):
        if not is_dense(self.graph, op):
            raise UnsupportedLayer(
                f"{self.recipe}: dense layers must have constant weights, got "
                f"{layer_of(self.graph, op)!r} without. Use "
                "quantization='dynamic_int8'."
            )
        graph, wide = self.graph, self.everywhere or id(op) in self._wide
        wide = wide or self.wide_after(op.outputs[0])
        x = self.quantized(op.inputs[0], wide)
        old, bias = graph.tensors[op.inputs[1]], self._bias_of(op)
        scale = float(graph.tensors[x].scale[0])
        unit = unit_for(self, op.outputs[0])
        bias, ratio = bias * unit, unit / self.units.get(op.inputs[0], 1.0)
        least = least_scales(bias, scale, 2.0**38 if wide else LARGEST_BIAS)
        steps = old.scale if old.scale is None else old.scale * ratio
        weight, scales = quantize_weight(old.data * ratio, steps=steps, least=least)
        if wide:
            steps = integer_layernorm.few_bits(scales)
            weight, scales = quantize_weight(old.data * ratio, steps=steps)
        zeros = np.zeros(len(scales), "int64")
        result = TFLiteTensor(old.name, weight.shape, INT8, weight, scales, zeros)
        number = graph.append(result)
        bias = self._bias(op, bias, scale * scales.astype("float64"), wide)
        low, high = self._result(op, wide)
        ends = low * unit, high * unit
        if not wide:
            result = self._convolve(op, x, number, bias, ends)
        else:
            result = self.make(op.outputs[0], *ends, wide)
            self.copy_operator(op, [x, number, bias], [result])
        self.numbers[op.outputs[0]] = result

    def _convolve(self, op, x, weight, bias, ends):
        """Write a dense layer as a 1x1 convolution, in which reference kernels agree.

        tflite-micro rounds the sums of either twice; LiteRT's reference kernels do so
        for convolutions alone.
        """
        graph, shape = self.graph, self.graph.tensors[op.outputs[0]].shape
        units, width = graph.tensors[weight].shape
        rows = math.prod(shape[:-1])
        graph.tensors[weight].shape = (units, 1, 1, width)
        graph.tensors[weight].data = graph.tensors[weight].data[:, None, None]
        x = self.reshaped(x, (1, 1, rows, width))
        result = self.make(op.outputs[0], *ends, wide=False, shape=(1, 1, rows, units))
        ones = dict.fromkeys(("dilationWFactor", "dilationHFactor"), 1)
        ones.update(strideW=1, strideH=1, padding=VALID)
        self.add("CONV_2D", [x, weight, bias], result, **ones)
        within = op.outputs[0] in self.units
        return result if within else self.reshaped(result, shape)

    def _bias_of(self, op):
        """A layer's bias, plus the offset of the image's zero point."""
        bias = bias_of(self.graph, op).astype("float64")
        first, shift = self._shift
        if op is first:
            bias = bias + self.graph.value(op.inputs[1]).sum(axis=1) * shift
        return bias

    def _bias(self, op, bias, steps, wide):
        """Quantize a bias to int32 in the scales of the sums, or int64 for int16."""
        codes = np.round(bias / steps).astype("int64" if wide else "int32")
        tensor = TFLiteTensor("bias", codes.shape, INT64 if wide else INT32, codes)
        if not wide and op.outputs[0] not in self.graph.outputs:
            # XNNPACK wants them, reference kernels do not; 12 bytes per channel.
            tensor.scale = steps.astype("float32")
            tensor.zero = np.zeros(len(steps), "int64")
        return self.graph.append(tensor)

    def _result(self, op, wide):
        """(low, high) of a dense layer's output, smaller before a GELU."""
        low, high = self.range_of(op.outputs[0], wide)
        gelu = self.graph.only_user(op.outputs[0])
        if gelu is None or gelu.name != "GELU":
            return low, high
        return max(low, FLOORS[wide]), self.top_of(gelu, wide)

    def top_of(self, gelu, wide):
        """Largest GELU value that is used: a MINIMUM may follow."""
        after = gelu.outputs[0]
        bound = self.graph.only_user(after)
        if bound is not None and bound.name == "MINIMUM":
            after = bound.outputs[0]
        return self.range_of(after, wide)[1]

    def _minimum(self, op):
        """Skip a MINIMUM: the integer range before it ends at the same bound."""
        self.numbers[op.outputs[0]] = self.numbers[op.inputs[0]]

    def _sum(self, op):
        parts = [self.quantized(i, wide=True) for i in op.inputs]
        made = self.make(op.outputs[0], *self.range_of(op.outputs[0], True), wide=True)
        self.numbers[op.outputs[0]] = self.add(op.name, parts, made)

    def _product(self, op):
        parts = [self.quantized(i, wide=True) for i in op.inputs]
        made = self.make(op.outputs[0], *self.range_of(op.outputs[0], True), wide=True)
        self.numbers[op.outputs[0]] = self.add("MUL", parts, made)

    def _matmul(self, op):
        wide = self.everywhere or self.wide_after(op.outputs[0])
        parts = [self.quantized(i, wide) for i in op.inputs]
        made = self.make(op.outputs[0], *self.range_of(op.outputs[0], wide), wide)
        self.numbers[op.outputs[0]] = made
        self.copy_operator(op, parts, [made])

    def _softmax(self, op):
        self._fixed(op, (1 / 32768, 0), (1 / 256, -128))

    def _tanh(self, op):
        self._fixed(op, (1 / 32768, 0), (1 / 128, 0))

    def _fixed(self, op, wide_step, step):
        """Write an operator whose kernel requires a certain output scale and zero."""
        wide = self.everywhere
        x = self.quantized(op.inputs[0], wide)
        old = self.graph.tensors[op.outputs[0]]
        kind, (scale, zero) = (INT16, wide_step) if wide else (INT8, step)
        made = self.append(old.name, old.shape, kind, scale, zero)
        self.numbers[op.outputs[0]] = made
        self.copy_operator(op, [x], [made])

    def _mean(self, op):
        """Write a MEAN over channels or over tokens."""
        graph, old = self.graph, self.graph.tensors[op.inputs[0]].shape
        axes = {int(a) % len(old) for a in graph.value(op.inputs[1]).reshape(-1)}
        if len(axes) != 1 or axes & set(range(len(old) - 2)):
            raise UnsupportedLayer(
                f"{self.recipe}: means must be over tokens or channels, got one over "
                f"the axes {sorted(axes)} of {old} in layer "
                f"{layer_of(graph, op)!r}. Use quantization="
                "'static_int8', which leaves it in float."
            )
        x = self.quantized(op.inputs[0], wide=True)
        limits = self.range_of(op.outputs[0], True)
        made = self.make(op.outputs[0], *limits, wide=True)
        self.numbers[op.outputs[0]] = made
        self.copy_operator(op, [x, op.inputs[1]], [made])
