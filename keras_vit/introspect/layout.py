"""Layout of a model's tokens: prefix, patches, and those that the head reads."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_vit.layers import (
    AttentionPooling,
    MeanPooling,
    PatchEncoder,
    TokenPooling,
    TransformerBlock,
)
from keras_vit.models.feature_extraction import pixel_trunk
from keras_vit.models.pretraining import EncoderModel
from keras_vit.progress import Bar


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """Prefix tokens, patch grid and head tokens of a model.

    Attributes:
        prefix: names of the tokens before the patches: "class", "distillation",
            "register 1" and so on.
        grid: (h, w), patches.
        step: (rows, columns), px of the image from one patch to the next; of a hybrid
            too, where a patch is cut from features.
        readers: (T,) numpy array that sums to 1, the share of each token in what the
            head reads: the class token, both tokens of a DeiT half and half, all
            patches for mean and attention pooling.
    """

    prefix: tuple
    grid: tuple
    step: tuple
    readers: np.ndarray

    def patches(self, values: np.ndarray) -> np.ndarray:
        """Drop the prefix tokens: (..., T) -> (..., N)."""
        return values[..., len(self.prefix) :]

    def to_grid(self, values: np.ndarray) -> np.ndarray:
        """Drop the prefix tokens and reshape: (..., T) -> (..., h, w)."""
        return self.patches(values).reshape(*values.shape[:-1], *self.grid)


def token_layout(model: keras.Model) -> TokenLayout:
    """Find the token layout of a model.

    Args:
        model: made by this package, or stacked by hand from its layers.

    Returns:
        `TokenLayout`.

    Raises:
        ValueError: for a model without `PatchEncoder`.
    """
    model, encoder = transformer_of(model), encoder_of(model)
    prefix = ["class", "distillation"][: encoder.class_tokens]
    prefix += [f"class {k}" for k in range(3, encoder.class_tokens + 1)]
    prefix += [f"register {k + 1}" for k in range(encoder.registers)]
    sides = zip(model.input_shape[1:3], encoder.grid, strict=True)
    step = tuple(side / count for side, count in sides)
    readers = _readers(model, encoder)
    return TokenLayout(tuple(prefix), tuple(encoder.grid), step, readers)


def _readers(model, encoder):
    """Share of each token in what the head reads, (T,); see `TokenLayout`."""
    start, count = encoder.prefix_tokens, encoder.grid[0] * encoder.grid[1]
    shares = np.zeros(start + count, "float32")
    kinds = (TokenPooling, MeanPooling, AttentionPooling)
    pools = [layer for layer in model.layers if isinstance(layer, kinds)]
    tokens = [pool.index for pool in pools if isinstance(pool, TokenPooling)]
    if not pools and encoder.class_tokens:
        tokens = [0]
    if tokens:
        shares[tokens] = 1 / len(tokens)
    else:
        shares[start:] = 1 / count
    return shares


def probe_of(model):
    """The `AttentionPooling` behind the last block, or None."""
    layers = transformer_of(model).layers
    pools = (layer for layer in layers if isinstance(layer, AttentionPooling))
    return next(pools, None)


def transformer_of(model):
    """The Vision Transformer that a model is or trains."""
    return model.encoder if isinstance(model, EncoderModel) else model


def encoder_of(model):
    """The layer that embeds patches.

    Raises:
        ValueError: when there is none.
    """
    return _layers(model, PatchEncoder)[0]


def blocks_of(model):
    """The blocks of a model, first to last.

    Raises:
        ValueError: when there are none.
    """
    return _layers(model, TransformerBlock)


def _layers(model, layer_class):
    layers = transformer_of(model).layers
    matches = [layer for layer in layers if isinstance(layer, layer_class)]
    if not matches and pixel_trunk(model) is not None:
        raise ValueError(
            f"model: must cut images into patches, got {model.name!r}, an image GPT, "
            "which reads single pixels. Look at it with "
            "keras_vit.introspect.plot_completion, or with `keras-vit evaluate --probe "
            "depth`."
        )
    if not matches:
        raise ValueError(
            f"model: has no {layer_class.__name__}, got {model.name!r}. Pass the "
            "Vision Transformer itself; one inside another model is "
            "model.get_layer(NAME)."
        )
    return matches


def runner(model, tensors):
    """Make a function from images to inner tensors of a model.

    Args:
        model: functional, or with such an encoder.
        tensors: list of symbolic tensors inside it.

    Returns:
        A function: (B, H, W, C) images -> list of backend tensors, or ValueError for
        images that the model does not take.
    """
    inside = keras.Model(transformer_of(model).input, tensors)

    def run(images):
        _check_images(model, images)
        outputs = inside(ops.convert_to_tensor(images), training=False)
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

    return run


def stream(model, tensors, images, batch_size, verbose=0):
    """Yield inner tensors of a model, batch by batch, as `runner` gives them.

    Args:
        model, tensors: as in `runner`. images: (B, H, W, C).
        batch_size: images at a time. verbose: 1 shows a progress bar.

    Yields:
        List of backend tensors of at most batch_size images.

    Raises:
        ValueError: without images, for a wrong shape, or batch_size below 1.
    """
    _check_images(model, images)
    if batch_size < 1 or not len(images):
        raise ValueError(
            f"images: needs at least one image and batch_size=1, got {len(images)} "
            f"images and batch_size={batch_size}."
        )
    run = runner(model, tensors)
    bar = Bar(len(images), "image", verbose)
    for start in range(0, len(images), batch_size):
        yield run(images[start : start + batch_size])
        bar.update(min(start + batch_size, len(images)))


def _check_images(model, images):
    shape = tuple(model.input_shape[1:])
    given = tuple(images.shape if hasattr(images, "shape") else np.shape(images))
    if given[1:] != shape:
        raise ValueError(
            f"images: must be (B, {', '.join(map(str, shape))}), got {given}. "
            "Prepare them with model.preprocessing, and give a single one a batch axis "
            "with image[None]."
        )
