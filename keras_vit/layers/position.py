"""Position embedding tables, added to the tokens."""

import keras
import numpy as np
from keras import ops


def sincos2d(grid, width, temperature=10000.0, reach_last=True):
    """Fixed sine and cosine table over a grid of patches.

    With k = 0..D/4-1 and omega_k = temperature^(-k / (D/4 - 1)), the row of the
    patch at column x and row y is [sin(x omega), cos(x omega), sin(y omega),
    cos(y omega)].

    Args:
        grid: (h, w), patches. width: D, a multiple of 4, at least 8.
        temperature: ratio of the slowest to the fastest frequency.
        reach_last: whether the slowest frequency is 1 / temperature, as above;
            MAE divides k by D/4 and stops one step before.

    Returns:
        (h*w, D) float32 numpy array.

    Raises:
        ValueError: for a width that cannot be split in four.

    Source:
        Beyer et al. 2022, arXiv:2205.01580 (big_vision, posemb_sincos_2d); MAE,
        arXiv:2111.06377 (util/pos_embed.py).

    >>> sincos2d((2, 3), 8).shape
    (6, 8)
    """
    if width % 4 or width < 8:
        raise ValueError(
            f"sincos2d: the width must be a multiple of 4 and at least 8, got {width}. "
            "Use position='learned', or another width."
        )
    steps = width // 4 - 1 if reach_last else width // 4
    omega = temperature ** (-np.arange(width // 4) / steps)
    y, x = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    x, y = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega
    parts = [np.sin(x), np.cos(x), np.sin(y), np.cos(y)]
    return np.concatenate(parts, axis=1).astype("float32")


class PositionTable(keras.layers.Layer):
    """Base class of a table with one row per token, which `table()` returns.

    Args:
        grid: (h, w), patches.
        prefix: rows for tokens that stand before the grid. Count.
        width: D, channels per token.
    """

    def __init__(self, grid, prefix, width, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.prefix = prefix
        self.width = width

    def get_config(self):
        return {
            **super().get_config(),
            "grid": list(self.grid),
            "prefix": self.prefix,
            "width": self.width,
        }


@keras.saving.register_keras_serializable("keras_vit")
class LearnedPosition(PositionTable):
    """One learned vector per token, in raster order.

    Weights:
        embedding: (1, prefix + h*w, D), normal with std 0.02.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, eq. (1). The std is the one
        of vit_jax, not stated in the paper.
    """

    def build(self, input_shape=None):
        length = self.prefix + self.grid[0] * self.grid[1]
        self.embedding = self.add_weight(
            shape=(1, length, self.width),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embedding",
        )

    def table(self):
        """(1, prefix + h*w, D)."""
        return self.embedding + 0.0


@keras.saving.register_keras_serializable("keras_vit")
class LearnedPosition2D(PositionTable):
    """One learned vector per row and one per column, half the width each.

    Weights:
        columns: (1, w, D/2). rows: (h, 1, D/2). prefix_embedding: (1, prefix,
        D). All normal with std 0.02.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, appendix D.4.
    """

    def build(self, input_shape=None):
        if self.width % 2:
            raise ValueError(
                f"learned2d: the width must be even, got {self.width}. "
                "Use position='learned', or another width."
            )
        shapes = {
            "columns": (1, self.grid[1], self.width // 2),
            "rows": (self.grid[0], 1, self.width // 2),
        }
        if self.prefix:
            shapes["prefix_embedding"] = (1, self.prefix, self.width)
        for name, shape in shapes.items():
            normal = keras.initializers.RandomNormal(stddev=0.02)
            setattr(
                self, name, self.add_weight(shape=shape, initializer=normal, name=name)
            )

    def table(self):
        """(1, prefix + h*w, D)."""
        h, w = self.grid
        half = (h, w, self.width // 2)
        x, y = ops.broadcast_to(self.columns, half), ops.broadcast_to(self.rows, half)
        grid = ops.reshape(ops.concatenate([x, y], axis=-1), (1, h * w, self.width))
        if not self.prefix:
            return grid
        return ops.concatenate([self.prefix_embedding, grid], axis=1)


@keras.saving.register_keras_serializable("keras_vit")
class SinCosPosition2D(PositionTable):
    """The fixed table of `sincos2d`; prefix tokens get zeros."""

    def build(self, input_shape=None):
        grid = sincos2d(self.grid, self.width)
        self._table = np.pad(grid, ((self.prefix, 0), (0, 0)))[None]

    def table(self):
        """(1, prefix + h*w, D)."""
        return ops.convert_to_tensor(self._table, dtype=self.compute_dtype)


TABLES = {
    "learned": LearnedPosition,
    "learned2d": LearnedPosition2D,
    "sincos2d": SinCosPosition2D,
}
POSITIONS = (*TABLES, "relative", "none")
