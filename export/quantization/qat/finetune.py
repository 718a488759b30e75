"""Quantization-aware models: computed with the rounding of their export.

Source of the idea: Jacob et al. 2018, arXiv:1712.05877, section 3.
"""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.choices import check_choice
from keras_vit.export.images.pixel_range import check_range
from keras_vit.export.quantization import prepare_model
from keras_vit.export.quantization.algorithms.gptq import limits
from keras_vit.export.quantization.algorithms.static_int8 import GELU_FLOOR
from keras_vit.export.quantization.algorithms.trained_ranges import (
    TrainedIntegers,
    TrainedLayer,
)
from keras_vit.export.quantization.qat import initial_ranges
from keras_vit.export.quantization.qat.fake_quant import (
    fake_range,
    fake_share,
    fake_tokens,
    fake_weight,
    power,
)
from keras_vit.export.quantization.qat.insertion_points import (
    attentions,
    find_insertion_points,
)
from keras_vit.export.quantization.recipe import names
from keras_vit.export.quantization.recipes import RECIPES
from keras_vit.export.quantization.rewrites.split_outliers import UNBOUNDED


@keras.saving.register_keras_serializable("keras_vit")
class QuantizationAware(keras.Model):
    """A model that computes with the quantized weights and ranges of its export.

    Weights are rounded to a grid whose step is learned, one per output channel: the
    gradient passes the rounding as if it were not there (straight-through), reaches
    the weight inside the range, and the step everywhere. For "int4", inputs of the
    dense layers are rounded to 8 bits per token, as the runtime does it; for
    "static_int8" and "full_int8", inputs and results have learned ranges, and so have
    attention scores for the latter. Steps and ends are learned as powers of 2, so that
    a step of the optimizer changes each by a share of itself. `compile` and `fit` it
    as any model, with the answers of the float model as targets (distillation) where
    there are no labels; then give it to `to_tflite`.

    Args:
        inner: functional Keras model with the weights.
        bits: of each dense layer, in their order: 4 or 8.
        recipe: that it is trained for.

    Source:
        Esser et al. 2020, arXiv:1902.08153 (LSQ), eqs. (1) to (3) and section 2.2
        (gradient scale); the straight-through estimator of Bengio et al. 2013,
        arXiv:1308.3432; Jain et al. 2019, arXiv:1903.08066, section 3 (powers of 2).
    """

    def __init__(self, inner, bits, recipe="int4", **kwargs):
        super().__init__(**kwargs)
        self.inner, self.bits, self.recipe = inner, list(bits), recipe
        for norm, _ in prepare_model.norm_readers(inner):
            norm.trainable = False  # its scale stands in the weights behind it
        for scale, _ in prepare_model.layer_scales(inner):
            scale.trainable = False  # and this one in the weights before it
        self.steps = [
            self.add_weight(shape=(dense.units,), name=f"step_{index}")
            for index, dense in enumerate(prepare_model.dense_layers(inner))
        ]
        self.sites, self.given, self.results = [], [], []
        self.bounds, self.scores = [], []
        if recipe != "int4":
            self._add_ranges()

    def _add_ranges(self):
        """Create the variables of learned activation ranges; None where fixed."""
        self.sites, full = find_insertion_points(self.inner), self.recipe == "full_int8"
        for place, site in enumerate(self.sites):
            skipped = site.kind == "constant" or site.beside is not None
            skipped |= site.kind == ("image" if full else "head")
            ends = None if skipped else self._ends(2, f"given_{place}")
            self.given.append(ends)
            # The range of a GELU ends where that of its result does.
            skipped = site.kind == "constant" or (site.kind == "head" and not full)
            count = 1 if site.second is not None else 2
            ends = None if skipped else self._ends(count, f"result_{place}")
            self.results.append(ends)
            self.bounds.append(None)
            if site.second is not None:
                self.bounds[-1] = self.add_weight(
                    shape=(site.dense.units,),
                    initializer=keras.initializers.Constant(UNBOUNDED),
                    trainable=False,
                    name=f"bound_{place}",
                )
        if full:
            count = len(attentions(self.inner))
            self.scores += [self._ends(2, f"score_{index}") for index in range(count)]

    def _ends(self, count, name):
        return self.add_weight(shape=(count,), initializer="zeros", name=name)

    def call(self, images, training=None):
        layers = prepare_model.dense_layers(self.inner)
        places = {id(dense): place for place, dense in enumerate(layers)}

        def compute(dense, inputs):
            place = places[id(dense)]
            step = power(self.steps[place])
            kernel = fake_weight(dense.kernel, step, self.bits[place])
            site = self.sites[place] if self.sites else None
            outputs = ops.matmul(self._taken(site, place, inputs), kernel)
            outputs = outputs if dense.bias is None else outputs + dense.bias
            return dense.activation(self._made(site, place, outputs))

        with contextlib.ExitStack() as stack:
            stack.enter_context(prepare_model.replacing_method(layers, compute))
            if self.scores:
                stack.enter_context(self._rounded_scores())
            return self.inner(images, training=training)

    def _taken(self, site, place, inputs):
        """Fake-quantize the input of a dense layer."""
        if site is None or (site.kind == "head" and self.given[place] is None):
            return fake_tokens(inputs)
        place = place if site.beside is None else site.beside
        if self.given[place] is None:
            return inputs
        if site.first is None:
            return fake_range(inputs, *self._range_given(place))
        inside = ops.minimum(inputs, self.bounds[site.first])
        return fake_range(inside, *self._range_given(place)) + (inputs - inside)

    def _made(self, site, place, outputs):
        """Fake-quantize the output of a dense layer."""
        if site is None or self.results[place] is None:
            return outputs
        span = self._range_made(site, place)
        if site.second is not None:
            above = ops.relu(outputs - self.bounds[place])
            return fake_range(outputs, *span) + above
        if site.factor is None:
            return fake_range(outputs, *span)
        factor = ops.convert_to_tensor(site.factor)
        return fake_range(outputs * factor, *span) / factor

    def _range_given(self, place):
        """Quantization range (low, high) of a dense layer's input."""
        low, high = _span(self.given[place])
        first = self.sites[place].first
        if first is None:
            return low, high
        top = ops.min(self.bounds[first])
        return low, ops.where(top < UNBOUNDED, top, high)

    def _range_made(self, site, place):
        """Quantization range (low, high) of a dense layer's output."""
        if site.second is None:
            return _span(self.results[place])
        low = ops.maximum(-power(self.results[place][0]), GELU_FLOOR)
        return low, self._range_given(site.second)[1]

    @contextlib.contextmanager
    def _rounded_scores(self):
        """Compute attention with 8-bit scores and 8-bit weights."""
        layers = attentions(self.inner)
        ends = dict(zip(map(id, layers), self.scores, strict=True))

        def attend(attention, query, key):
            scores = attention.scores(query, key)
            scores = fake_range(scores, *_span(ends[id(attention)]))
            return fake_share(ops.softmax(scores, axis=-1))

        with prepare_model.replacing_method(layers, attend, "_attend"):
            yield

    def finished(self):
        """Return the model with rounded weights, a normal Keras model.

        Returns:
            functional Keras model, and `TrainedIntegers`, what its file must hold.
        """
        finished, rows = prepare_model.copy_of(self.inner), []
        for place, dense in enumerate(prepare_model.dense_layers(finished)):
            step = _value(power(self.steps[place])).astype("float32")
            kernel, bits = _value(dense.kernel), self.bits[place]
            integers = np.clip(np.rint(kernel / step), *limits(bits))
            dense.kernel.assign(integers * step)
            rows.append(
                TrainedLayer(integers.T.astype("int8"), step, bits, *self._spans(place))
            )
        scores = tuple(_numbers(_span(ends)) for ends in self.scores)
        return finished, TrainedIntegers(self.recipe, tuple(rows), scores)

    def _spans(self, place):
        """Input range, output range and bound of a `TrainedLayer`."""
        if not self.given:
            return None, None, None
        site, bound = self.sites[place], self.bounds[place]
        shared, input_range, result_range = (
            place if site.beside is None else site.beside,
            None,
            None,
        )
        if self.given[shared] is not None:
            input_range = _numbers(self._range_given(shared))
        if self.results[place] is not None:
            result_range = _numbers(self._range_made(site, place))
        return input_range, result_range, None if bound is None else _value(bound)

    @property
    def preprocessing(self):
        """Preprocessing of the float model."""
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


def quantize_aware(
    model: keras.Model, recipe: str = "int4", calibration: Any = None
) -> QuantizationAware:
    """Make a model for fine-tuning under a recipe's quantization.

    It starts where post-training quantization ends: scales folded; for "int4"
    every dense layer rounded on calibration images (see `gptq`), 8 bits where 4 cost
    most; for "static_int8" and "full_int8" ranges as observed, hidden units that
    stand out split off (see `split_outliers`).

    Args:
        model: functional Keras model in float32.
        recipe: "static_int8", "full_int8" or "int4".
        calibration: (N, H, W, C), 32 to 128 images in the model's range.

    Returns:
        `QuantizationAware`, for `fit` and then `to_tflite`, which wants the images
        again for "full_int8".

    Raises:
        UnsupportedLayer: for convolutions, in 8 bits.
        ValueError: for another recipe, without images, or with some of another range.
    """
    trainable = names(RECIPES, lambda recipe: recipe.trainable)
    check_choice("recipe", recipe, trainable)
    if calibration is None or len(calibration) < 32:
        raise ValueError(
            "quantize_aware: calibration must hold at least 32 images, got "
            f"{0 if calibration is None else len(calibration)}. Pass training images."
        )
    check_range(model, calibration)
    name = f"{model.name}_{recipe}"
    inner = prepare_model.fold_layer_scale(prepare_model.fold_norm_scale(model))
    if recipe == "int4":
        inner, steps, bits = initial_ranges.rounded_to_4_bits(inner, calibration)
    else:
        steps = initial_ranges.plain_steps(inner)
        bits = [8] * len(steps)
    aware = QuantizationAware(inner, bits, recipe, name=name)
    for variable, step in zip(aware.steps, steps, strict=True):
        variable.assign(np.log2(step))
    if aware.given:
        initial_ranges.observe(aware, calibration)
    aware(calibration[:1])
    return aware


def _span(ends):
    """(low, high) from their logarithms."""
    return -power(ends[0]), power(ends[1])


def _value(tensor):
    return ops.convert_to_numpy(tensor)


def _numbers(span):
    return tuple(float(_value(end)) for end in span)
