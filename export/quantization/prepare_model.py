"""Rewrites of Keras models before quantization: equal outputs, better rounding.

Each function gives a new model and leaves the one it was given alone. All but
`correct_bias` and `round_weights` are exact: the answers stay as they are, up to the
rounding of float32. What a function does not recognise it leaves as it is.
"""

import contextlib
import functools

import keras
import numpy as np

from keras_vit.export.images.pixel_range import check_range
from keras_vit.export.quantization.graph.dense_weights import quantize_weight
from keras_vit.layers import TransformerBlock
from keras_vit.layers.norm import LayerNorm
from keras_vit.layers.pooling import AttentionPooling, MeanPooling, TokenPooling
from keras_vit.private_keras import flatten_layers, readers_of


def fold_norm_scale(model):
    """Fold scale and offset of layer norms into the dense layers that read them.

    `(g * n + b) W + c = n (diag(g) W) + (b W + c)`: gamma becomes 1, beta 0, and all
    channels that the dense layer reads have one spread. Into a dense layer without
    bias only the scale goes. Source: Li et al. 2023, arXiv:2212.08254 (RepQ-ViT),
    section 3.2, has the channel-wise view; Ashkboos et al. 2024, arXiv:2401.15024,
    section 3.1, the fold.

    Args:
        model: functional Keras model.

    Returns:
        a new model of the same answers.
    """
    folded = copy_of(model)
    for norm, readers in norm_readers(folded):
        gamma, beta = _value(norm.gamma), _value(norm.beta)
        if any(dense.bias is None for dense in readers):
            if not gamma.all():
                continue
            _divide(norm, readers, gamma)
            continue
        for dense in readers:
            kernel = _value(dense.kernel)
            dense.bias.assign(_value(dense.bias) + beta @ kernel)
            dense.kernel.assign(gamma[:, None] * kernel)
        norm.gamma.assign(np.ones_like(gamma))
        norm.beta.assign(np.zeros_like(beta))
    return folded


def fold_layer_scale(model):
    """Fold layer scale into the dense layers before it.

    `g * (x W + b) = x (W diag(g)) + g b`, as converters do it. Source: Touvron et al.
    2021, arXiv:2103.17239, eq. (4), has the factors.

    Args:
        model: functional Keras model.

    Returns:
        a new model of the same answers, all factors 1.
    """
    folded = copy_of(model)
    for scale, dense in layer_scales(folded):
        gamma = _value(scale.gamma)
        dense.kernel.assign(_value(dense.kernel) * gamma)
        if dense.bias is not None:
            dense.bias.assign(_value(dense.bias) * gamma)
        scale.gamma.assign(np.ones_like(gamma))
    return folded


def layer_scales(model):
    """(layer scale, dense layer before it) of every block that has them."""
    blocks = [b for b in flatten_layers(model) if isinstance(b, TransformerBlock)]
    pairs = [(block.scale1, block.attention.proj) for block in blocks]
    pairs += [(block.scale2, block.mlp.fc2) for block in blocks]
    return [pair for pair in pairs if pair[0] is not None]


def smooth(model, images, alpha=0.5):
    """Migrate activation outliers into weights, channel by channel (SmoothQuant).

    Behind every layer norm, channel j is divided by
    `s_j = max|x_j|^alpha / max|W_j|^(1 - alpha)` and its weights multiplied by it; the
    factor goes into gamma and beta. With alpha = 1 all channels get one range, and the
    weights, which have a scale per output, take the rest. Source: Xiao et al. 2023,
    arXiv:2211.10438 (SmoothQuant), eq. (4); alpha = 1 is the scale part of Li et al.
    2023, arXiv:2212.08254 (RepQ-ViT), section 3.2.

    Args:
        model: functional Keras model.
        images: (N, H, W, C), 32 to 128 of them, in the model's range.
        alpha: 0 to 1, how much of the difficulty goes to the weights.

    Returns:
        a new model of the same answers.

    Raises:
        ValueError: for alpha out of range, or images of another range.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(
            f"smooth: alpha must be between 0 and 1, got alpha={alpha}. Use 0.5."
        )
    check_range(model, images)
    smoothed = copy_of(model)
    pairs, tops = norm_readers(smoothed), {}

    def see(norm, inputs, outputs):
        top = np.abs(_value(outputs)).reshape(-1, outputs.shape[-1]).max(axis=0)
        tops[id(norm)] = np.maximum(top, tops.get(id(norm), 0))
        return outputs

    with observing_layers([norm for norm, _ in pairs], see):
        for start in range(0, len(images), 32):
            smoothed(images[start : start + 32], training=False)
    for norm, readers in pairs:
        weights = [np.abs(_value(d.kernel)).max(axis=1) for d in readers]
        weight = np.maximum.reduce(weights)
        _divide(norm, readers, _ratio(tops[id(norm)] ** alpha, weight ** (1 - alpha)))
    return smoothed


def equalize(model):
    """Balance weight ranges across layers, channel by channel.

    Values and the projection that reads them: `V_j / s`, `P_j * s`, since attention
    mixes tokens and not channels. Queries and keys: `Q_j / s`, `K_j * s`, since only
    their product counts. In both, s makes the two ranges equal. Source: Nagel et al.
    2019, arXiv:1906.04721, section 4.1. Their pairs around an activation need f(s x) =
    s f(x), which GELU has not: the layers of an MLP stay as they are. So do queries
    and keys that are normalised, or meet embeddings of relative positions.

    Args:
        model: functional Keras model.

    Returns:
        a new model of the same answers.
    """
    equalized = copy_of(model)
    layers = flatten_layers(equalized)
    for block in (b for b in layers if isinstance(b, TransformerBlock)):
        attention = block.attention
        qkv, proj = attention.qkv, attention.proj
        kernel, back = _value(qkv.kernel), _value(proj.kernel)
        query, key, value = np.split(np.abs(kernel).max(axis=0), 3)
        scale = np.ones((3, len(back)), "float32")
        if not (attention.qk_norm or attention.relative_position):
            scale[0] = np.sqrt(_ratio(query, key))
            scale[1] = 1 / scale[0]
        scale[2] = np.sqrt(_ratio(value, np.abs(back).max(axis=1)))
        qkv.kernel.assign(kernel / scale.reshape(-1))
        if qkv.bias is not None:
            qkv.bias.assign(_value(qkv.bias) / scale.reshape(-1))
        proj.kernel.assign(back * scale[2][:, None])
    return equalized


def correct_bias(model, reference, images):
    """Restore each dense layer's mean output after rounding, by its bias.

    Layer by layer, on the outputs of the layers corrected before it. Source: Nagel et
    al. 2019, arXiv:1906.04721, section 4.2 (theirs: from statistics of batch norms;
    ours: from images).

    Args:
        model: with changed weights, such as `round_weights` gives.
        reference: the model it was made from.
        images: (N, H, W, C), 32 to 128 of them, held in memory at once.

    Returns:
        a new model with other biases; a `model` that answers as `reference` does
        comes back as it was.

    Raises:
        ValueError: for models of different layers, or images of another range.
    """
    check_range(reference, images)
    corrected = copy_of(model)
    layers, wanted = dense_layers(corrected), dense_layers(reference)
    if [d.kernel.shape for d in layers] != [d.kernel.shape for d in wanted]:
        raise ValueError(
            f"correct_bias: model and reference must have the same dense layers, got "
            f"{len(layers)} and {len(wanted)}. Pass the model it was made from."
        )
    means = {}

    def keep(dense, inputs, outputs):
        means[id(dense)] = _mean(outputs)
        return outputs

    with observing_layers(wanted, keep):
        reference(images, training=False)
    twins = dict(zip(map(id, layers), map(id, wanted), strict=True))

    def correct(dense, inputs, outputs):
        lost = means[twins[id(dense)]] - _mean(outputs)
        if dense.bias is None or dense.activation is not keras.activations.linear:
            return outputs
        dense.bias.assign(_value(dense.bias) + lost)
        return outputs + keras.ops.convert_to_tensor(lost, outputs.dtype)

    with observing_layers(layers, correct):
        corrected(images, training=False)
    return corrected


def round_weights(model, bits=8):
    """Round the kernels of dense layers, to measure the effect on a model.

    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.2.

    Args:
        model: Keras model. bits: 2 to 8; one scale per output channel.

    Returns:
        a new model with rounded kernels in float.
    """
    rounded = copy_of(model)
    for dense in dense_layers(rounded):
        integers, scale = quantize_weight(_value(dense.kernel).T, bits)
        dense.kernel.assign((integers * scale[:, None]).T)
    return rounded


def copy_of(model):
    """Copy a model with its weights and notes, for separate changes."""
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for note in ("preprocessing", "labels"):
        if hasattr(model, note):
            setattr(clone, note, getattr(model, note))
    return clone


def dense_layers(model):
    """List every dense layer, nested ones too, in order."""
    layers = flatten_layers(model)
    return [layer for layer in layers if isinstance(layer, keras.layers.Dense)]


def norm_readers(model):
    """(norm, [dense layers]) of every layer norm that only dense layers read.

    Args:
        model: functional Keras model that shares no layers with another.
    """
    pairs = []
    for layer in model.layers:
        if isinstance(layer, TransformerBlock):
            pairs.append((layer.norm1, [layer.attention.qkv]))
            pairs.append((layer.norm2, [layer.mlp.fc1]))
        elif isinstance(layer, AttentionPooling):
            pairs.append((layer.norm, [layer.mlp.fc1]))
        elif isinstance(layer, LayerNorm):
            readers = _readers(layer, {id(tensor) for tensor in model.outputs})
            pairs += [(layer, readers)] if readers else []
    return pairs


def _readers(layer, outputs):
    """Dense layers behind a layer, through pooling; [] if another layer reads it."""
    readers = []
    if id(layer.output) in outputs:
        return []
    for reader in readers_of(layer):
        if isinstance(reader, (TokenPooling, MeanPooling)):
            behind = _readers(reader, outputs)
        elif isinstance(reader, AttentionPooling):
            behind = [reader.key, reader.value]
        else:
            behind = [reader] if isinstance(reader, keras.layers.Dense) else []
        if not behind:
            return []
        readers += behind
    return readers


@contextlib.contextmanager
def observing_layers(layers, see):
    """Call `see(layer, inputs, outputs)` at each layer, and use what it returns."""

    def compute(layer, inputs):
        return see(layer, inputs, type(layer).call(layer, inputs))

    with replacing_method(layers, compute):
        yield


@contextlib.contextmanager
def replacing_method(layers, compute, method="call"):
    """Replace a method by `compute(layer, *inputs)` inside the block."""

    def call(layer, *inputs, training=None):
        return compute(layer, *inputs)

    for layer in layers:
        object.__setattr__(layer, method, functools.partial(call, layer))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, method)


def _divide(norm, readers, factor):
    """Divide the channels behind a norm, and multiply the weights that read them."""
    norm.gamma.assign(_value(norm.gamma) / factor)
    norm.beta.assign(_value(norm.beta) / factor)
    for dense in readers:
        dense.kernel.assign(_value(dense.kernel) * factor[:, None])


def _ratio(above, below):
    """Quotient, 1 where either side is 0."""
    fine = (above > 0) & (below > 0)
    return np.where(fine, above / np.where(fine, below, 1), 1).astype("float32")


def _value(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _mean(outputs):
    values = _value(outputs)
    return values.reshape(-1, values.shape[-1]).mean(axis=0)
