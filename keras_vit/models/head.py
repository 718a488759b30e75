"""The classification head."""

import keras


def classifier(arch, name):
    """A linear head with zero initial weights, as in every reference for transfer.

    Args:
        arch: record with `classes`, `head_bias` and `dtype`.
        name: of the layer.
    """
    return keras.layers.Dense(
        arch.classes,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(arch.head_bias),
        dtype=wide(arch.dtype),
        name=name,
    )


def activate(logits, arch):
    """Apply the record's `classifier_activation` to logits."""
    if arch.classifier_activation is None:
        return logits
    try:
        keras.activations.get(arch.classifier_activation)
    except ValueError as err:
        raise ValueError(
            "classifier_activation: must be None for logits, 'softmax' or another "
            f"activation of Keras, got {arch.classifier_activation!r}."
        ) from err
    activation = keras.layers.Activation(
        arch.classifier_activation, dtype=wide(arch.dtype), name="predictions"
    )
    return activation(logits)


def wide(dtype):
    """Dtype policy of logits: float32 under mixed precision."""
    policy = keras.dtype_policies.get(dtype)
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy
