"""What stands behind the features of every classifier."""

import keras


def classifier(arch, name):
    """A linear head that starts at zero, as every reference does for transfer.

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
    """Logits, or what `classifier_activation` of the record makes of them."""
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
    """The policy for logits: float32 where the model computes in 16 bits."""
    policy = keras.dtype_policies.get(dtype)
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy
