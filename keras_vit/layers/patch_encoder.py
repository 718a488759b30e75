"""Patch embedding: projection, class token, position embeddings."""

from typing import Any

import keras
from keras import ops

from keras_vit.layers.position import POSITIONS, TABLES
from keras_vit.types import Config, Shape, Tensor


def square_grid(count):
    """(h, w) of a square grid with `count` patches.

    Raises:
        ValueError: when the count is not a square number.

    >>> square_grid(196)
    (14, 14)
    """
    side = round(count**0.5)
    if side * side != count:
        raise ValueError(
            f"grid: {count} patches do not make a square. Pass grid=(rows, columns)."
        )
    return side, side


@keras.saving.register_keras_serializable("keras_vit")
class PatchEncoder(keras.layers.Layer):
    """Project patches, prepend the class token, add position embeddings.

    The prefix tokens are added as a constant to a zero-padded grid, not
    concatenated: no operator then depends on the batch size.

    Args:
        width: D, channels per token.
        class_tokens: learned tokens that heads read: 1 for ViT, 2 for a
            distilled DeiT (class, distillation), 0 for none.
        registers: learned tokens that nobody reads, after the class tokens.
        position: "learned", "learned2d", "sincos2d", "relative" or "none" (the
            last two add nothing here).
        position_prefix: whether the prefix tokens have rows in the table.
        grid: (h, w) of the patches; None for a square.
        use_bias: of the projection.
        dropout: probability, after positions are added.

    Call:
        patches: (B, N, P*P*C) float, row-major.

    Returns:
        (B, class_tokens + registers + N, D): class tokens first, then
        registers, then patches.

    Weights:
        projection: kernel (P*P*C, D), bias (D,). prefix: (1, class_tokens +
        registers, D). position: see `keras_vit.layers.position`.

    Raises:
        ValueError: for an unknown position; on build, when the patch count is
            unknown or does not match the grid.

    Source:
        Dosovitskiy et al. 2021, arXiv:2010.11929, eq. (1); registers of Darcet
        et al. 2023, arXiv:2309.16588; without position_prefix as big_vision.
    """

    def __init__(
        self,
        width: int,
        class_tokens: int = 1,
        registers: int = 0,
        position: str = "learned",
        position_prefix: bool = True,
        grid: tuple[int, int] | None = None,
        use_bias: bool = True,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if position not in POSITIONS:
            known = ", ".join(POSITIONS)
            raise ValueError(f"position: must be one of {known}, got {position!r}.")
        self.width = width
        self.class_tokens = class_tokens
        self.registers = registers
        self.position = position
        self.position_prefix = position_prefix
        self.grid = None if grid is None else tuple(grid)
        self.use_bias = use_bias
        self.dropout = dropout
        self.projection = keras.layers.Dense(
            width,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.LecunNormal(),
            dtype=self.dtype_policy,
            name="projection",
        )
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")

    @property
    def prefix_tokens(self) -> int:
        """Number of tokens before the patches."""
        return self.class_tokens + self.registers

    def build(self, input_shape: Shape) -> None:
        count = input_shape[1]
        if count is None:
            raise ValueError(
                f"{self.name}: needs a fixed number of patches, got shape "
                f"{tuple(input_shape)}. Give the model a fixed image_size."
            )
        self.grid = self.grid or square_grid(count)
        if self.grid[0] * self.grid[1] != count:
            raise ValueError(
                f"{self.name}: the grid must hold all patches, got grid={self.grid} "
                f"for {count} patches. Pass grid=(rows, columns) of your image."
            )
        self.projection.build(input_shape)
        self.class_token = self._tokens("class_token", self.class_tokens, "zeros")
        small = keras.initializers.RandomNormal(stddev=1e-6)
        self.register_tokens = self._tokens("registers", self.registers, small)
        self.table = self._make_table()

    def _tokens(self, name, count, initializer):
        if not count:
            return None
        shape = (1, count, self.width)
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def _make_table(self):
        if self.position not in TABLES:
            return None
        prefix = self.prefix_tokens if self.position_prefix else 0
        table = TABLES[self.position](
            self.grid, prefix, self.width, dtype=self.dtype_policy, name="position"
        )
        table.build()
        return table

    def _constant(self):
        """Sum of class token, registers and positions: (1, prefix + N, D) or None."""
        parts = [p for p in (self.class_token, self.register_tokens) if p is not None]
        table = None if self.table is None else self.table.table()
        if not parts:
            return table
        rows = self.grid[0] * self.grid[1]
        prefix = ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0] + 0.0
        prefix = ops.pad(prefix, ((0, 0), (0, rows), (0, 0)))
        if table is None:
            return prefix
        if not self.position_prefix:
            table = ops.pad(table, ((0, 0), (self.prefix_tokens, 0), (0, 0)))
        return prefix + table

    def place(self, tokens: Tensor) -> Tensor:
        """Prepend the prefix tokens to projected patches, and add positions.

        Args:
            tokens: (B, N, D), `projection` of the patches.

        Returns:
            (B, prefix_tokens + N, D).
        """
        if self.prefix_tokens:
            tokens = ops.pad(tokens, ((0, 0), (self.prefix_tokens, 0), (0, 0)))
        constant = self._constant()
        if constant is not None:
            tokens = tokens + ops.cast(constant, self.compute_dtype)
        return tokens

    def call(self, patches: Tensor, training: bool | None = None) -> Tensor:
        return self.drop(self.place(self.projection(patches)), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.prefix_tokens + input_shape[1], self.width)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "width": self.width,
            "class_tokens": self.class_tokens,
            "registers": self.registers,
            "position": self.position,
            "position_prefix": self.position_prefix,
            "grid": None if self.grid is None else list(self.grid),
            "use_bias": self.use_bias,
            "dropout": self.dropout,
        }
