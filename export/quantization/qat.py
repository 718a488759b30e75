"""Fine-tuning of a model that already feels its quantization.

Source of the idea: Jacob et al. 2018, arXiv:1712.05877, section 3.
"""

import keras
import numpy as np
from keras import ops

from keras_vit.export.quantization import models
from keras_vit.export.quantization.calibration import thinned
from keras_vit.export.quantization.gptq import gptq, limits
from keras_vit.export.quantization.int4 import BUDGET, PROBE, choose
from keras_vit.export.quantization.trained import Trained

RECIPES = ("int4",)
# What a file holds besides weights, biases and scales: operators, names, shapes.
FRAME_BYTES = 80_000
# How far from its integer a weight may start, in steps; at 0.5 it would be another.
EDGE = 0.45


@keras.saving.register_keras_serializable("keras_vit")
class QuantizationAware(keras.Model):
    """A model whose dense layers compute with the integers they will be stored in.

    Weights are rounded to a grid whose step is learned, one per output channel: the
    gradient passes the rounding as if it were not there (straight-through), reaches
    the weight inside the range, and the step everywhere. Inputs of the dense layers
    are rounded to 8 bits per token, as the runtime does it. `compile` and `fit` it as
    any model, with the answers of the float model as targets (distillation) where
    there are no labels; then give it to `to_tflite`.

    Args:
        inner: functional Keras model with the weights.
        bits: of each dense layer, in their order: 4 or 8.
        recipe: that it is trained for.

    Source:
        Esser et al. 2020, arXiv:1902.08153 (LSQ), eqs. (1) to (3) and section 2.2
        (gradient scale); the straight-through estimator of Bengio et al. 2013,
        arXiv:1308.3432.
    """

    def __init__(self, inner, bits, recipe="int4", **kwargs):
        super().__init__(**kwargs)
        self.inner, self.bits, self.recipe = inner, list(bits), recipe
        for norm, _ in models.norm_readers(inner):
            norm.trainable = False  # its scale stands in the weights behind it
        self.steps = [
            self.add_weight(shape=(dense.units,), name=f"step_{index}")
            for index, dense in enumerate(models.dense_layers(inner))
        ]

    def call(self, images, training=None):
        layers = models.dense_layers(self.inner)
        plan = zip(self.steps, self.bits, strict=True)
        plan = dict(zip(map(id, layers), plan, strict=True))

        def compute(dense, inputs):
            kernel = fake_weight(dense.kernel, *plan[id(dense)])
            outputs = ops.matmul(fake_tokens(inputs), kernel)
            outputs = outputs if dense.bias is None else outputs + dense.bias
            return dense.activation(outputs)

        with models.replaced(layers, compute):
            return self.inner(images, training=training)

    def finished(self):
        """The model with rounded weights, to be run as any other.

        Returns:
            functional Keras model, and `Trained`, what its file must hold.
        """
        made, plan = models.copy_of(self.inner), []
        steps = [np.abs(ops.convert_to_numpy(step)) for step in self.steps]
        layers = models.dense_layers(made)
        for dense, step, bits in zip(layers, steps, self.bits, strict=True):
            kernel = ops.convert_to_numpy(dense.kernel)
            integers = np.clip(np.rint(kernel / step), *limits(bits))
            dense.kernel.assign(integers * step)
            plan.append((integers.T.astype("int8"), step, bits))
        return made, Trained(self.recipe, tuple(plan))

    @property
    def preprocessing(self):
        """How images must be prepared, as in the float model."""
        return getattr(self.inner, "preprocessing", None)

    @property
    def labels(self):
        """Class names, as in the float model."""
        return getattr(self.inner, "labels", None)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {"inner": inner, "bits": self.bits, "recipe": self.recipe}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`."""
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


def quantize_aware(model, recipe="int4", calibration=None):
    """Make a model that is fine-tuned under the integers of a recipe.

    It starts where post-training quantization ends: norm scales folded, every dense
    layer rounded on calibration images (see `gptq`), 8 bits where 4 cost most.

    Args:
        model: functional Keras model in float32.
        recipe: "int4".
        calibration: (N, H, W, C), 32 to 128 images in the model's range.

    Returns:
        `QuantizationAware`, for `fit` and then `to_tflite`.

    Raises:
        ValueError: for another recipe, or without images.
    """
    if recipe not in RECIPES:
        raise ValueError(
            f"quantize_aware: recipe must be 'int4', got recipe={recipe!r}. The others "
            "keep their accuracy without fine-tuning."
        )
    if calibration is None or len(calibration) < 32:
        raise ValueError(
            "quantize_aware: calibration must hold at least 32 images, got "
            f"{0 if calibration is None else len(calibration)}. Pass training images."
        )
    inner = models.fold_norm_scale(model)
    layers = models.dense_layers(inner)
    bits = [4 if dense.kernel.shape[0] % 2 == 0 else 8 for dense in layers]
    coarse, _ = _rounded(inner, bits, calibration)
    few = thinned(calibration, PROBE)
    costs = _sensitivity(inner, coarse, few, bits)
    sizes = {place: layers[place].kernel.shape.num_elements() / 2 for place in costs}
    for place in choose(costs, sizes, _bytes_left(inner, layers)):
        bits[place] = 8
    made, steps = _rounded(inner, bits, calibration)
    for dense, old, step in zip(models.dense_layers(made), layers, steps, strict=True):
        dense.kernel.assign(_within(dense.kernel, old.kernel, step))
    made = QuantizationAware(made, bits, recipe, name=f"{model.name}_{recipe}")
    for variable, step in zip(made.steps, steps, strict=True):
        variable.assign(step)
    made(calibration[:1])
    return made


def fake_weight(kernel, step, bits):
    """Round a kernel (in, out) to multiples of a step per output, differentiably.

    `s * round(clip(w / s, low, top))`; the gradient of s is scaled by
    1 / sqrt(inputs * top), which makes it as large as the weights'.
    """
    low, top = limits(bits)
    share = float(kernel.shape[0] * top) ** -0.5
    step = ops.absolute(step)
    step = step * share + ops.stop_gradient(step * (1 - share))
    return _through(ops.clip(kernel / step, low, top)) * step


def fake_tokens(inputs):
    """Round each token to 256 levels between its least and greatest value, and 0."""
    low = ops.minimum(ops.min(inputs, axis=-1, keepdims=True), 0.0)
    high = ops.maximum(ops.max(inputs, axis=-1, keepdims=True), 0.0)
    step = ops.stop_gradient(ops.maximum((high - low) / 255.0, 1e-12))
    return _through(inputs / step) * step


def _through(x):
    """Round; the gradient is that of the identity."""
    return x + ops.stop_gradient(ops.round(x) - x)


def _rounded(model, bits, images):
    """A copy with every dense layer rounded, in order; and the steps."""
    made = models.copy_of(model)
    layers, wanted = models.dense_layers(made), models.dense_layers(model)
    means, steps, places = {}, {}, {id(d): p for p, d in enumerate(layers)}

    def keep(dense, inputs, outputs):
        means[len(means)] = _rows(inputs).mean(axis=0)
        return outputs

    def compute(dense, inputs):
        rows, weight = _rows(inputs), ops.convert_to_numpy(dense.kernel).T
        mean, place = rows.mean(axis=0), places[id(dense)]
        covariance = rows.T @ rows / len(rows) - np.outer(mean, mean)
        integers, step = gptq(weight, covariance, len(rows), bits[place])
        rounded, steps[place] = integers * step, step[:, 0]
        dense.kernel.assign(rounded.T)
        if dense.bias is not None:
            bias = ops.convert_to_numpy(dense.bias)
            dense.bias.assign(bias + weight @ means[len(steps) - 1] - rounded @ mean)
        return type(dense).call(dense, inputs)

    with models.watched(wanted, keep):
        model(images, training=False)
    with models.replaced(layers, compute):
        made(images, training=False)
    return made, [steps[place] for place in range(len(layers))]


def _within(rounded, kernel, step):
    """The weight that rounds to the same integers and is closest to the original."""
    rounded, kernel = (ops.convert_to_numpy(x) for x in (rounded, kernel))
    return rounded + np.clip(kernel - rounded, -EDGE * step, EDGE * step)


def _sensitivity(model, coarse, images, bits):
    """{place: noise power over signal power} of 4 bits in one layer alone."""
    expected = [ops.convert_to_numpy(y) for y in keras.tree.flatten(model(images))]
    trial, costs = models.copy_of(model), {}
    layers, rounded = models.dense_layers(trial), models.dense_layers(coarse)
    for place, (dense, other) in enumerate(zip(layers, rounded, strict=True)):
        if bits[place] != 4:
            continue
        kernel = ops.convert_to_numpy(dense.kernel)
        dense.kernel.assign(other.kernel)
        got = [ops.convert_to_numpy(y) for y in keras.tree.flatten(trial(images))]
        dense.kernel.assign(kernel)
        costs[place] = sum(
            float(((y - z) ** 2).sum() / max((z**2).sum(), 1e-30))
            for y, z in zip(got, expected, strict=True)
        )
    return costs


def _bytes_left(model, layers):
    """What 4 bits in all dense layers leave of the size to stay below."""
    kernels = sum(dense.kernel.shape.num_elements() for dense in layers)
    steps, total = sum(dense.units for dense in layers), model.count_params()
    least = kernels / 2 + 4 * (total - kernels + steps) + FRAME_BYTES
    return BUDGET * 4 * total - least


def _rows(inputs):
    values = ops.convert_to_numpy(inputs)
    return values.reshape(-1, values.shape[-1])
