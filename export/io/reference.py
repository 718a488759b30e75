"""The Keras reference of every comparison: the model in float32, as one graph."""

import copy
import dataclasses

import keras
import numpy as np
from keras import ops

from keras_vit.export.io.fold_standardized_convs import fold_standardized_convs, rebuilt
from keras_vit.export.io.io_spec import contract_of
from keras_vit.models.input_range import UNKNOWN
from keras_vit.private_keras import flatten_layers

WIDE = "float32"


class Reference:
    """The float32 Keras model whose outputs a file must reproduce.

    Args:
        model: functional or Sequential Keras model. One that computes in
            another precision is rebuilt in float32 with the same weights,
            because files are written in float32.
        dynamic_batch: see `contract_of`.

    Attributes:
        model: the float32 model that files are written from, see
            `fold_standardized_convs`. Answers are those of the model before that.
        rebuilt: whether it had to be rebuilt.
        trained: `TrainedIntegers` of a quantization-aware model, or None.

    Raises:
        TypeError, ValueError: as `contract_of`.
    """

    format = "keras"

    def __init__(self, model, dynamic_batch=True):
        finished, self.trained = getattr(model, "finished", None), None
        aware = None if finished is None else model
        if finished is not None:
            model, self.trained = finished()
        contract_of(model, dynamic_batch)
        _refuse_quantized(model)
        self.rebuilt = not _computes_in_float32(model)
        model = _in_float32(model) if self.rebuilt else model
        # Trained weights make up for rounded activations: alone they answer otherwise.
        self._call = _compiled(model, aware)
        self.model = fold_standardized_convs(model)
        self.contract = contract_of(self.model, dynamic_batch)

    def __call__(self, images):
        """Answers for (B, H, W, C) float32: a list of numpy arrays, one per output."""
        outputs = self._call(images)
        return [ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]

    def finite_answers(self, images):
        """Run the model; refuse outputs with NaN or infinity.

        Raises:
            ValueError: when an output is NaN or infinite.
        """
        answers = self(images)
        for tensor, answer in zip(self.contract.outputs, answers, strict=True):
            if not np.isfinite(answer).all():
                raise ValueError(
                    f"model: must give finite outputs, got NaN or infinity in "
                    f"{tensor.name!r}. Look for a training run that diverged."
                )
        return answers

    @property
    def shown(self):
        """`Contract` of a file without an adapter."""
        return self.contract

    def complete(self, expected, got):
        """Return a file's outputs unchanged, to be compared with the expected ones."""
        return got

    def derived(self, model, contract):
        """Make the reference of another float32 model that shares the weights.

        Args:
            model: functional Keras model. contract: what it takes and gives.
        """
        twin = copy.copy(self)
        twin.model, twin.contract, twin._call = model, contract, _compiled(model)
        return twin

    @property
    def parameter_bytes(self):
        """Size of the weights in float32, in bytes."""
        return 4 * self.model.count_params()

    @property
    def notes(self):
        """Notes about the model for the export's result."""
        notes = [self.contract.found] if self.contract.found else []
        if not self.contract.stated:
            notes.append(UNKNOWN)
        if self.rebuilt:
            notes.append(
                "rebuilt and compared in float32; the model itself computes in 16 bits"
            )
        return tuple(notes)

    def assume(self, preprocessing):
        """Set the caller's preprocessing, where the model states none.

        Args:
            preprocessing: `Preprocessing`.
        """
        size = self.contract.image.shape[1:3]
        self.contract = dataclasses.replace(
            self.contract,
            mode=preprocessing.range,
            stated=True,
            note=preprocessing.resized(size),
            found="images are prepared as the caller says",
        )


def _compiled(model, aware=None):
    """Compile the call as a TensorFlow graph, or as the backend does.

    Args:
        model: functional. aware: quantization-aware model to call in its place.
    """
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    def call(images):
        return (model if aware is None else aware)(images, training=False)

    image = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    return tf.function(call, autograph=False).get_concrete_function(image)


def _refuse_quantized(model):
    for layer in _leaves(model):
        if layer.dtype_policy.quantization_mode is not None:
            raise ValueError(
                f"model: must hold float weights, got layer {layer.name!r} quantized "
                "by Keras. Export the float model and pass quantization='dynamic_int8'."
            )


def _computes_in_float32(model):
    return all(layer.dtype_policy.compute_dtype == WIDE for layer in _leaves(model))


def _leaves(model):
    return [layer for layer in flatten_layers(model) if layer is not model]


def _in_float32(model):
    """Rebuild the layers with the same weights under a float32 policy."""
    twin = rebuilt(model, _with_float32)
    twin.set_weights([np.asarray(value, WIDE) for value in model.get_weights()])
    return twin


def _with_float32(config):
    """Replace every dtype policy in a configuration."""
    if isinstance(config, (list, tuple)):
        return type(config)(_with_float32(value) for value in config)
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name", "")).endswith("DTypePolicy"):
        return {**config, "class_name": "DTypePolicy", "config": {"name": WIDE}}
    return {
        key: WIDE if key == "dtype" and isinstance(value, str) else _with_float32(value)
        for key, value in config.items()
    }


def require_tensorflow(what):
    """Refuse any other backend than TensorFlow.

    Raises:
        RuntimeError: when it does not.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"{what}: needs Keras on TensorFlow, got KERAS_BACKEND="
            f"{keras.backend.backend()}. Save the model as .keras and export it in a "
            "process with KERAS_BACKEND=tensorflow, or use to_onnx."
        )
