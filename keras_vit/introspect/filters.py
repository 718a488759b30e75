"""Principal components of the patch embedding's filters."""

import keras
import numpy as np
from keras import ops

from keras_vit.introspect import drawing
from keras_vit.introspect.layout import encoder_of, transformer_of
from keras_vit.layers import Patches, StdConv
from keras_vit.types import Figure


def embedding_filters(model: keras.Model, count: int = 28) -> np.ndarray:
    """Compute the principal components of the patch embedding's filters.

    The kernel of the patch projection, (P*P*C, D), holds D filters. With X the (D,
    P*P*C) matrix of filters, centred over the filters, and X = U S V' its singular
    value decomposition, the components are the first rows of V'. Their sign is
    arbitrary; here the entry of the largest size is positive. Each is scaled to 0 to
    1 by its own least and largest value.

    Behind a stem the projection sees features, not colours: the filters are then those
    of the stem's first convolution, standardised where it uses them so.

    Args:
        model: made by this package.
        count: how many components; there are at most min(D - 1, P*P*C).

    Returns:
        (count, P, P, C) float32 numpy array in 0 to 1, of the largest variance first.

    Raises:
        ValueError: for a count below 1, or a stem that is not one of ours.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 left (28 components of
        L/32). Centring, sign and scale are not stated there: ours.
    """
    if count < 1:
        raise ValueError(f"count: must be 1 or more, got {count}. The paper shows 28.")
    kernel = _kernel(model)  # (P, P, C, D)
    filters = kernel.reshape(-1, kernel.shape[-1]).T
    filters = filters - filters.mean(axis=0)
    # Centring takes one dimension away: the last row would be noise.
    count = min(count, len(filters) - 1)
    components = np.linalg.svd(filters, full_matrices=False)[2][:count]
    peaks = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), peaks])[:, None]
    low = components.min(axis=1, keepdims=True)
    span = np.maximum(components.max(axis=1, keepdims=True) - low, 1e-12)
    scaled = ((components - low) / span).astype("float32")
    return scaled.reshape(-1, *kernel.shape[:3])


def _kernel(model):
    """Kernel of the layer that reads the image, (P, P, C, D) float64."""
    seeing = [
        layer
        for layer in transformer_of(model).layers
        if isinstance(layer, (Patches, StdConv, keras.layers.Conv2D))
        and layer.input.shape[1:] == model.input_shape[1:]
    ]
    first = seeing[0] if seeing else None
    if isinstance(first, Patches):
        kernel = ops.convert_to_numpy(encoder_of(model).projection.kernel)
        shape = (*first.patch_size, model.input_shape[-1], -1)
        return kernel.astype("float64").reshape(shape)
    if isinstance(first, StdConv):
        kernel = ops.cast(first.standardised_kernel(), "float32")
        return ops.convert_to_numpy(kernel).astype("float64")
    if first is not None:
        return ops.convert_to_numpy(first.kernel).astype("float64")
    raise ValueError(
        "embedding_filters: needs a patch projection or a convolution that sees the "
        f"image, got model={model.name!r}, whose patches are cut from the features of "
        "another network. Look into that network itself."
    )


def plot_embedding_filters(filters: np.ndarray, columns: int = 7) -> Figure:
    """Draw the components in rows of seven, as fig. 7 of the ViT paper does.

    Args:
        filters: (count, P, P, C) of `embedding_filters`. One channel is shown grey, of
            others the first three. columns: tiles in a row.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns = min(columns, len(filters))
    lines = -(-len(filters) // columns)
    height = 0.8 * lines * filters.shape[1] / filters.shape[2]
    figure, axes = drawing.figure(0.8 * columns, height, lines, columns)
    for place in np.atleast_1d(axes).ravel():
        place.axis("off")
    for place, tile in zip(np.atleast_1d(axes).ravel(), filters, strict=False):
        place.imshow(drawing.three_channels(tile), interpolation="nearest")
    return figure
