"""Feature extraction: one vector per image, at the end or at every depth."""

import keras
from keras import ops

from keras_vit.layers import MeanPooling, TokenPooling, TransformerBlock
from keras_vit.models.image_gpt import ImageGPT
from keras_vit.models.image_gpt_features import EVERY, PixelFeatures, pixel_features


def encoder(model: keras.Model, pooling: str | None = None) -> keras.Model:
    """Cut off heads, decoders and projections.

    Args:
        model: (B, H, W, C) -> (B, K) with a last Dense layer, or (B, D) features; or
            a model that learns without labels. Another subclassed model cannot be
            cut: it is taken for an encoder.
        pooling: "token" or "gap": how one vector is made of all tokens, where the
            model gives them; None is the own way of a model that learns without
            labels, see `classifier_from`.

    Returns:
        `keras.Model`, (B, H, W, C) -> (B, D), sharing weights with `model`, or the
        model itself. With two heads (DeiT) it is what the first one reads; of an
        image GPT, the last depth.

    Raises:
        ValueError: when the model gives no vector per image, or for an unknown
            pooling.
    """
    _check_pooling(pooling)
    if isinstance(model, ImageGPT):
        return pixel_features(model)
    inner, pooling = _inside(model, pooling)
    if not getattr(inner, "inputs", None):
        return inner
    heads = [layer for layer in inner.layers if layer.name == "head"]
    if not heads and isinstance(inner.layers[-1], keras.layers.Dense):
        heads = [inner.layers[-1]]
    outputs = [heads[0].input] if heads else inner.outputs
    if pooling and _gives_tokens(inner, outputs):
        outputs = [_pool(inner, pooling)(outputs[0])]
    elif len(outputs) > 1 or len(outputs[0].shape) != 2:
        shapes = ", ".join(str(output.shape) for output in outputs)
        tokens = _gives_tokens(inner, outputs)
        how = "Pass it (--pooling gap), or build" if tokens else "Build"
        raise ValueError(
            f"model: must give one vector per image, got an output of shape {shapes}. "
            f"{how} the model with pooling='token' or 'gap'."
        )
    elif not heads:
        return inner
    inputs = inner.inputs[0] if len(inner.inputs) == 1 else inner.inputs
    return keras.Model(inputs, outputs[0], name="encoder")


def every_depth(model: keras.Model, pooling: str | None = None) -> keras.Model:
    """Make a model of the features at every depth.

    At depth l stand the tokens that block l takes in, behind the block's own first
    norm, made one vector; at the last depth those behind the last norm.

    Args:
        model: with transformer blocks, made by this package.
        pooling: "token" or "gap"; None is that of the model. Attention pooling belongs
            to the end alone: such a model is read with "gap". An image GPT always
            takes the mean of its pixels.

    Returns:
        `keras.Model`, (B, H, W, C) -> (B, depth + 1, D), sharing weights.

    Raises:
        ValueError: for a model without blocks, or an unknown pooling.

    Source:
        Chen et al. 2020, section 3.5: `f^l`, the mean of `n^l`.
    """
    _check_pooling(pooling)
    trunk = pixel_trunk(model)
    if trunk is not None:
        images = keras.Input(trunk.image_shape, name="image")
        return keras.Model(images, PixelFeatures(trunk, EVERY, name="pool")(images))
    inner, pooling = _inside(model, pooling)
    blocks = _blocks(inner)
    if not blocks:
        raise ValueError(
            f"model: must have transformer blocks to be read at every depth, got "
            f"{model.name!r} without. Read its features alone."
        )
    layers = {layer.name: layer for layer in inner.layers}
    if pooling is None:
        reads_token = isinstance(layers.get("pool"), TokenPooling)
        pooling = "token" if reads_token else "gap"
    reader = _Depths(blocks, _pool(inner, pooling), name="depths")
    end = _end(layers, blocks, _pool(inner, pooling))
    outputs = reader([*(block.input for block in blocks), end])
    return keras.Model(inner.inputs[0], outputs, name="every_depth")


class _Depths(keras.layers.Layer):
    """Pools the normalised input of each block, and the final features.

    Args:
        blocks: of a model. pool: layer, (B, T, D) -> (B, D).

    Call:
        tokens: list of (B, T, D), one per block, and (B, D).

    Returns:
        (B, depth + 1, D).
    """

    def __init__(self, blocks, pool, **kwargs):
        super().__init__(**kwargs)
        self.norms = [block.norm1 for block in blocks]
        self.pool = pool

    def call(self, tokens):
        *tokens, end = tokens
        pairs = zip(self.norms, tokens, strict=True)
        vectors = [self.pool(norm(x)) for norm, x in pairs]
        return ops.stack([*vectors, end], axis=1)


def has_depths(model):
    """Whether `every_depth` supports a model."""
    return pixel_trunk(model) is not None or bool(_blocks(_inside(model, None)[0]))


def pixel_trunk(model):
    """The `ImageGPT` that a model is or wraps, or None."""
    if isinstance(model, ImageGPT):
        return model
    readers = [part for part in _layers(model) if isinstance(part, PixelFeatures)]
    return readers[0].trunk if readers else None


def untrained(model: keras.Model) -> keras.Model:
    """Copy a model with new random weights, as a baseline of probes.

    The palette of an image GPT is kept, for it is not learnt by training.

    Args:
        model: made by this package.
    """
    made = type(model).from_config(model.get_config())
    if isinstance(model, ImageGPT):
        made.palette.assign(model.palette)
    return made


def _inside(model, pooling):
    """The encoder inside a model, or the model, and its pooling."""
    inner = getattr(model, "encoder", None)
    if not isinstance(inner, keras.Model):
        return model, pooling
    return inner, pooling or getattr(model, "pooled", {}).get("pooling")


def _layers(model):
    return getattr(model, "layers", ())


def _blocks(model):
    return [part for part in _layers(model) if isinstance(part, TransformerBlock)]


def _gives_tokens(model, outputs):
    names = [layer.name for layer in model.layers]
    return len(outputs) == 1 and len(outputs[0].shape) == 3 and "patch_encoder" in names


def _pool(model, pooling):
    """Make the pooling layer of a model's tokens."""
    embed = model.get_layer("patch_encoder")
    if pooling == "gap":
        return MeanPooling(embed.prefix_tokens)
    if not embed.class_tokens:
        raise ValueError(
            f"pooling: 'token' reads a class token, which {model.name!r} has not. Use "
            "pooling='gap'."
        )
    return TokenPooling()


def _end(layers, blocks, pool):
    """Final features, normalised and pooled."""
    if "fc_norm" in layers:  # the norm behind the pooling
        return layers["fc_norm"](pool(blocks[-1].output))
    end = layers["norm"].output if "norm" in layers else blocks[-1].output
    return pool(end)


def _check_pooling(pooling):
    if pooling not in (None, "token", "gap"):
        raise ValueError(
            f"pooling: must be 'token' or 'gap', got {pooling!r}. Leave it out for the "
            "model's own."
        )
