"""Token norms: patches of outlier norm, which the model uses as registers."""

import keras
import numpy as np
from keras import ops

from keras_vit.introspect import drawing
from keras_vit.introspect.layout import TokenLayout, blocks_of, stream
from keras_vit.types import Figure, Images


def token_norms(
    model: keras.Model, images: Images, batch_size: int = 16, verbose: int = 0
) -> np.ndarray:
    """Norm of every token after every block.

        n(b, l, t) = sqrt(sum over channels of x(b, l, t, channel)^2)

    x are the tokens after block l, before the last norm. In large models trained for
    long, a few patches of plain background have norms many times the median: they hold
    what the model notes about the whole image, and attention maps light up there for no
    reason that can be seen. Registers take this work from the patches.

    Args:
        model: made by this package.
        images: (B, H, W, C), prepared for the model.
        batch_size: images at a time. verbose: 1 shows a progress bar.

    Returns:
        (B, L, T) float32 numpy array, T with the prefix tokens.

    Raises:
        ValueError: for a model without blocks, or images that it does not take.

    Source:
        Darcet et al. 2023, arXiv:2309.16588, section 2.
    """
    outputs = [block.output for block in blocks_of(model)]
    batches = stream(model, outputs, images, batch_size, verbose)
    found = [norms_of(tokens) for tokens in batches]
    return np.concatenate(found)


def norms_of(tokens):
    """Norms (B, L, T) of a list of (B, T, D) tensors."""
    wide = [ops.cast(x, "float32") for x in tokens]
    lengths = [ops.sqrt(ops.sum(ops.square(x), axis=-1)) for x in wide]
    return np.stack([ops.convert_to_numpy(x) for x in lengths], axis=1)


def outlier_ratio(norms, layout):
    """Largest patch norm after the last block over the median: (B,)."""
    last = layout.patches(norms[:, -1])
    return last.max(axis=1) / np.maximum(np.median(last, axis=1), 1e-12)


def plot_token_norms(norms: np.ndarray, layout: TokenLayout) -> Figure:
    """Draw token norms over the blocks, with the outliers after the last.

    Left: of all patches the median, the range of nine in ten and the largest, with
    the mean of each prefix token. Right: the patches of the first image after the last
    block. Both scales are logarithmic.

    Args:
        norms: (B, L, T) of `token_norms`. layout: `token_layout(model)`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure, (left, right) = drawing.figure(8.0, 3.4, 1, 2, widths=(1.35, 1))
    blocks = np.arange(1, norms.shape[1] + 1)
    flat = layout.patches(norms).transpose(1, 0, 2).reshape(len(blocks), -1)
    low, middle, high = np.percentile(flat, (5, 50, 95), axis=1)
    colour = drawing.among(1, 4)
    left.fill_between(blocks, low, high, color=colour, alpha=0.25, linewidth=0)
    left.plot(blocks, middle, color=colour, label="patches, median")
    left.plot(blocks, flat.max(axis=1), ":", color=colour, label="largest patch")
    for index, name in enumerate(layout.prefix):
        values = norms[:, :, index].mean(axis=0)
        shade = drawing.among(index + 1, len(layout.prefix) + 1, "plasma")
        left.plot(blocks, values, "--", color=shade, label=name)
    drawing.rule(left)
    left.set(xlabel="block", ylabel="norm", yscale="log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("")
    left.set_xticks(blocks[:: max(1, len(blocks) // 12)])
    left.legend(frameon=False, fontsize=8, labelcolor=drawing.INK)
    image = right.imshow(layout.to_grid(norms[0, -1]), cmap=drawing.HEAT, norm="log")
    right.axis("off")
    drawing.colour_bar(figure, image, right, "norm, first picture")
    return figure
