"""Meaning of a model's output: logits, probabilities or features."""

import keras
import numpy as np

from keras_vit import private_keras

ENDINGS = ("softmax", "sigmoid")
# Operations of keras.ops and layers that leave the meaning of scores as it is.
PASSING = ("Cast", "Identity", "StopGradient", "Flatten", "Reshape", "Squeeze")
DROPOUTS = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


def ending(model):
    """Last activation of a model's scores.

    Args:
        model: `keras.Model` of any origin. Models inside of it are looked into; of a
            subclassed one, the layer made last is taken for the end.

    Returns:
        "softmax", "sigmoid", or "logits" for anything else.
    """
    while not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        inside = getattr(model, "layers", None)
        if not inside:
            return _of_operation(model) or "logits"
        model = inside[-1]
    return meaning(model.outputs[0]) or "logits"


def meaning(tensor):
    """Meaning of an output of a functional model.

    Models inside, dropout, casts and what only changes the shape are looked through.

    Args:
        tensor: symbolic output.

    Returns:
        "softmax", "sigmoid", "logits" of a dense layer without activation, or None
        for anything else: features.
    """
    operation, inputs = origin(tensor)
    if isinstance(operation, keras.layers.Average):
        kinds = {meaning(one) for one in inputs}
        return kinds.pop() if len(kinds) == 1 else None
    if scales(operation, inputs):
        return "logits" if meaning(inputs[0]) == "logits" else None
    return _of_operation(operation)


def scales(operation, inputs):
    """Whether an operation only scales logits by a temperature.

    Args:
        operation: Keras'. inputs: its input tensors.
    """
    if len(inputs) != 1:
        return False
    if isinstance(operation, keras.layers.Rescaling):
        numbers = np.array(operation.scale)
    elif type(operation).__name__ in ("TrueDivide", "Divide", "Multiply"):
        given = private_keras.calls_of(operation)[0].arguments.args
        numbers = [n for n in given if not isinstance(n, keras.KerasTensor)]
        if not isinstance(given[0], keras.KerasTensor) or len(given) != 2:
            return False
        numbers = np.array(numbers[0]) if np.isscalar(numbers[0]) else np.zeros(1)
    else:
        return False
    return numbers.ndim == 0 and numbers > 0


def origin(tensor):
    """The operation that computes an output: (operation, its inputs).

    Args:
        tensor: symbolic output; what `meaning` looks through is passed over.
    """
    while True:
        operation, inputs, index = private_keras.origin_of(tensor)
        if isinstance(operation, keras.Model) and operation.outputs:
            tensor = operation.outputs[index]
        elif inputs and _passes(operation):
            tensor = inputs[0]
        else:
            return operation, inputs


def labels_of(model):
    """Class names of a model, or of a model inside that gives the scores.

    Args:
        model: `keras.Model` of any origin.

    Returns:
        List of K names, or None.
    """
    own = getattr(model, "labels", None)
    if own is not None or not getattr(model, "outputs", None):
        return own
    tensor = model.outputs[0]
    while True:
        operation, inputs, _ = private_keras.origin_of(tensor)
        if isinstance(operation, keras.Model):
            return labels_of(operation)
        activates = isinstance(
            operation, keras.layers.Activation | keras.layers.Softmax
        )
        activates = activates or type(operation).__name__ in ("Softmax", "Sigmoid")
        if not inputs or not (
            activates or _passes(operation) or scales(operation, inputs)
        ):
            return None
        tensor = inputs[0]


def _passes(operation):
    """Whether an operation keeps the meaning of scores."""
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    return isinstance(operation, DROPOUTS) or type(operation).__name__ in PASSING


def _of_operation(operation):
    if isinstance(operation, keras.layers.Wrapper):
        operation = operation.layer
    if isinstance(operation, keras.layers.Softmax) and operation.axis == 0:
        return None  # over the images of a batch
    activation = getattr(operation, "activation", None)
    activation = operation if activation is None else activation
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    if name in ENDINGS:
        return name
    linear = activation is keras.activations.linear or name in (
        "log_softmax",
        "logsoftmax",
    )
    return "logits" if linear and _scores(operation) else None


def _scores(operation):
    """Whether a layer computes one score per class: dense, or a 1x1 convolution."""
    if isinstance(operation, keras.layers.Conv2D):
        shape = operation.output.shape
        return tuple(shape[1:3]) == (1, 1)
    kinds = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Activation)
    return isinstance(operation, kinds) or type(operation).__name__ == "LogSoftmax"
