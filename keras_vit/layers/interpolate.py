"""One-dimensional interpolation matrices, for images, positions and kernels.

Every library resizes a little differently. Written as one matrix per axis, the
differences are a few numbers in one table and the result is the same on every
backend.
"""

import numpy as np

# How far an output looks around itself, in source samples when not shrinking.
REACH = {"bilinear": 1.0, "bicubic": 2.0, "bicubic_torch": 2.0}


def _cubic(distance, a):
    """Keys' cubic: (a+2)|t|^3 - (a+3)|t|^2 + 1, then a|t|^3 - 5a|t|^2 + 8a|t| - 4a."""
    t = np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def _weight(method, distance):
    if method == "bilinear":
        return np.maximum(0.0, 1.0 - np.abs(distance))
    return _cubic(distance, -0.5 if method == "bicubic" else -0.75)


def matrix(old, new, method="bilinear", antialias=False):
    """Interpolation weights of `old` samples in each of `new` samples.

    Centres are half-pixel, (i + 0.5) old/new - 0.5, but for "zoom", whose
    corners coincide: i (old-1)/(new-1).

    Args:
        old, new: number of samples.
        method: "nearest", "bilinear", "bicubic" (a = -0.5: PIL, TensorFlow,
            PyTorch with antialias), "bicubic_torch" (a = -0.75: PyTorch without
            antialias), "area" (mean over what a sample covers), or "zoom"
            (bilinear between coinciding corners: scipy.ndimage.zoom, order 1).
        antialias: widen the kernel when shrinking. Weights that fall off the
            edge are then dropped and the rest scaled to sum 1; without it the
            edge sample is repeated.

    Returns:
        (new, old) float64 numpy array, rows sum to 1.

    Source:
        Keys 1981, "Cubic convolution interpolation", eq. (4); Pillow's
        Resample.c for the widened kernel.
    """
    scale = old / new
    if method == "area":
        return _area(old, new)
    if method == "nearest":
        picked = np.minimum(np.floor((np.arange(new) + 0.5) * scale), old - 1)
        return np.eye(old)[picked.astype(int)]
    if method == "zoom":
        centres = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
        return _taps(old, centres, "bilinear")
    centres = (np.arange(new) + 0.5) * scale - 0.5
    if antialias:
        return _widened(old, centres, method, max(scale, 1.0))
    return _taps(old, centres, method)


def _taps(old, centres, method):
    """Interpolate by a fixed number of taps around a centre, repeated at the edge."""
    reach = int(REACH[method])
    first = np.floor(centres).astype(int)
    rows = np.arange(len(centres))
    weights = np.zeros((len(centres), old))
    for step in range(1 - reach, reach + 1):
        column = np.clip(first + step, 0, old - 1)
        np.add.at(weights, (rows, column), _weight(method, first + step - centres))
    return weights


def _widened(old, centres, method, stretch):
    """Antialiased weights: the kernel stretched over all samples of an output."""
    support = REACH[method] * stretch
    low = np.maximum(np.floor(centres - support + 1.0), 0)
    high = np.minimum(np.floor(centres + support + 1.0), old)
    samples = np.arange(old)
    inside = (samples >= low[:, None]) & (samples < high[:, None])
    weights = _weight(method, (samples - centres[:, None]) / stretch) * inside
    return weights / weights.sum(axis=1, keepdims=True)


def _area(old, new):
    """Area weights: the share of each source sample in an output's interval."""
    edges = np.arange(new + 1) * (old / new)
    low = np.maximum(edges[:-1, None], np.arange(old))
    high = np.minimum(edges[1:, None], np.arange(1, old + 1))
    weights = np.maximum(high - low, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
