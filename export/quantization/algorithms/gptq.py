"""GPTQ: weight rounding that minimises a layer's output error on calibration images."""

import numpy as np

# Block size: columns rounded before the error is spread over the later ones.
STRIDE = 64
# Added to the diagonal, as shares of its mean: always, and per column per row of data.
DAMP, SCARCE = 0.01, 0.5
# Scales to try for a row, as shares of that of the least error of single weights.
SHARES = (0.8, 0.86, 0.92, 0.96, 1.0, 1.04, 1.08, 1.14, 1.2)
SWEEPS = 3


def gptq(weight, hessian, rows, bits=4, block=0):
    """Round a weight so that the layer's output error is least.

    Columns are rounded one by one, and each error is made good by the columns left;
    every channel does that with several scales and keeps the best. Last, single
    weights are rounded anew while that helps. Source: Frantar et al. 2023,
    arXiv:2210.17323 (GPTQ), algorithm 1, with the columns in the order of falling
    diagonal; the last step: Behdin et al. 2023, arXiv:2309.01885 (QuantEase).

    Args:
        weight: (out, in) float32.
        hessian: (in, in), covariance of the layer's inputs.
        rows: how many inputs it was made from. Few of them say little about others,
            so its diagonal is raised the more, the fewer they are.
        bits: 4: integers -8 .. 7; 8: -127 .. 127.
        block: neighbours that share a scale, or 0 for one scale per channel.

    Returns:
        int8 (out, in), and scales (out, 1) or (out, in / block) float32.
    """
    columns = weight.shape[1]
    hessian = np.asarray(hessian, "float64")
    damp = DAMP + SCARCE * columns / rows
    raised = damp * np.trace(hessian) / columns + 1e-12
    hessian = hessian + raised * np.eye(columns)
    order = np.argsort(-np.diag(hessian), kind="stable")
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T.astype("float32")
    first = plain_scale(weight, np.diag(hessian), bits, block)
    group, best = order // (block or columns), None
    for share in SHARES if bits < 8 else (1.0,):
        scale = representable(first * share, block)
        rounded, loss = _round(weight[:, order], scale[:, group], upper, limits(bits))
        if best is None:
            best = [rounded, scale, loss]
        better = loss < best[2]
        for place, made in enumerate((rounded, scale, loss)):
            best[place][better] = made[better]
    integers = np.empty_like(best[0])
    integers[:, order] = best[0]
    integers = _sweep(weight, integers, best[1], hessian.astype("float32"), bits)
    return integers.astype("int8"), best[1]


def limits(bits):
    """Smallest and largest integer: all 16 codes of 4 bits, 8 bits without -128."""
    top = 2 ** (bits - 1) - 1
    return (-top - 1 if bits < 8 else -top), top


def plain_scale(weight, importance, bits, block=0):
    """The scale of least squared error, each column weighted by its importance.

    Args:
        weight: (out, in). importance: (in,), mean square of the inputs.
        bits, block: as in `gptq`.

    Returns:
        (out, 1) or (out, in / block) float32.
    """
    cut = weight.reshape(len(weight), -1, block or weight.shape[1])
    importance = importance.reshape(1, *cut.shape[1:])
    low, top = limits(bits)
    full = np.maximum(np.abs(cut).max(axis=-1), 1e-8) / top
    best, least = full, np.full(full.shape, np.inf)
    for share in np.linspace(0.5, 1.0, 26) if bits < 8 else (1.0,):
        scale = full * share
        rounded = np.clip(np.rint(cut / scale[..., None]), low, top)
        error = cut - rounded * scale[..., None]
        error = (importance * error**2).sum(axis=-1)
        best = np.where(error < least, scale, best)
        least = np.minimum(least, error)
    return best.astype("float32")


def representable(scale, block):
    """Round scales as a file stores them: of blocks in 16 bits, never 0."""
    if not block:
        return scale.astype("float32")
    return np.maximum(scale, 6.2e-5).astype("float16").astype("float32")


def scales_per_column(scale, columns):
    """Expand scales to one per column, (out, in)."""
    return np.repeat(scale, columns // scale.shape[1], axis=1)


def _round(weight, scale, upper, span):
    """Round by GPTQ, columns in the order given; returns integers and loss per row."""
    work, integers = weight.astype("float32"), np.zeros(weight.shape, "float32")
    loss, columns = np.zeros(len(weight)), weight.shape[1]
    for start in range(0, columns, STRIDE):
        stop = min(start + STRIDE, columns)
        errors = np.zeros((len(weight), stop - start), "float32")
        for j in range(start, stop):
            rounded = np.clip(np.rint(work[:, j] / scale[:, j]), *span)
            error = (work[:, j] - rounded * scale[:, j]) / upper[j, j]
            work[:, j + 1 : stop] -= np.outer(error, upper[j, j + 1 : stop])
            integers[:, j], errors[:, j - start] = rounded, error
        work[:, stop:] -= errors @ upper[start:stop, stop:]
        loss += (errors**2).sum(axis=1)
    return integers, loss


def _sweep(weight, integers, scale, hessian, bits):
    """Change single integers where that lowers the output error."""
    wide, columns = scales_per_column(scale, weight.shape[1]), weight.shape[1]
    gradient = (weight - integers * wide) @ hessian
    for _ in range(SWEEPS):
        for j in range(columns):
            step = np.rint(gradient[:, j] / (hessian[j, j] * wide[:, j]))
            step = np.clip(integers[:, j] + step, *limits(bits)) - integers[:, j]
            moved = np.flatnonzero(step)
            if len(moved):
                integers[moved, j] += step[moved]
                change = step[moved] * wide[moved, j]
                gradient[moved] -= np.outer(change, hessian[j])
    return integers
