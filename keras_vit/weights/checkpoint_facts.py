"""Architecture facts of a weight file: the part shared by all families."""

import math
import re
from typing import NamedTuple

from keras_vit import variants
from keras_vit.errors import CheckpointError
from keras_vit.weights.arrays import listed


class Request(NamedTuple):
    """Facts that the caller gives where the file does not tell."""

    heads: int | None = None
    image_size: tuple | None = None  # (H, W) px
    stored_grid: tuple | None = None  # (h, w), patches of the stored positions
    usual_size: tuple | None = None  # (H, W) px, where the file cannot say


class Facts(NamedTuple):
    """Architecture facts read from a file."""

    options: dict  # fields of the family's record
    grid: tuple | None  # (h, w) of the stored positions, None without
    kernel: str  # a key of resample.KERNELS
    notes: tuple = ()  # sentences for the report


class Family(NamedTuple):
    """The reader functions of one code base."""

    name: str
    recognises: object  # ArrayFile -> bool, by names alone
    normalise: object  # ArrayFile -> ArrayFile with one spelling of each name
    read: object  # ArrayFile, Request -> Facts
    rules: object  # fields of the record -> list of Rule
    kind: str = "vit"  # a key of `kinds.KINDS`
    later: str = ""  # for families without a model: what to say instead

    @property
    def record(self):
        """Options -> checked record of the model."""
        from keras_vit.weights.kinds import KINDS  # Keras, which reading needs not

        return KINDS[self.kind][0]

    @property
    def build(self):
        """Record -> model."""
        from keras_vit.weights.kinds import KINDS

        return KINDS[self.kind][1]


def blocks(arrays, pattern):
    """Number of blocks; their names must count from 0 without a gap.

    Args:
        arrays: `ArrayFile`.
        pattern: regular expression with one group for the number.

    Raises:
        CheckpointError: when there are none, or one is missing.
    """
    numbers = {int(m[1]) for m in (re.match(pattern, name) for name in arrays) if m}
    if not numbers:
        raise CheckpointError(
            f"{arrays.where}: must hold the blocks of a Vision Transformer, got none, "
            f"but {listed(arrays)}. It is another network, or a part of one."
        )
    if numbers != set(range(len(numbers))):
        raise CheckpointError(
            f"{arrays.where}: blocks must be numbered from 0 without a gap, got "
            f"{sorted(numbers)[:20]}. The file is incomplete; fetch it again."
        )
    return len(numbers)


def heads_of(arrays, request, width, depth, mlp_dim):
    """Number of heads where the arrays do not tell: (heads, note or None).

    Raises:
        CheckpointError: when only the caller can know.
    """
    if request.heads is not None:
        return request.heads, None
    for name, size in variants.SIZES.items():
        if (size.width, size.depth, size.mlp) == (width, depth, mlp_dim):
            return size.heads, f"{size.heads} heads, as in every published {name}."
    raise CheckpointError(
        f"{arrays.where}: a fused query-key-value matrix does not tell the number of "
        f"heads, got width={width}, depth={depth}, which is no known size. "
        f"Pass heads={max(1, width // 64)}, for example."
    )


def position(arrays, name, prefix, stride, request, always=False):
    """Read grid, prefix tokens and image size from a position table.

    Args:
        arrays: `ArrayFile`. name: of a (1, T, D) table in it.
        prefix: number of tokens before the patches.
        stride: (rows, columns) px of the image per patch.
        request: `Request`.
        always: whether those tokens have positions for certain; else that is
            what makes the rest a grid.

    Returns:
        (options, grid): `position_prefix` and `image_size`; (h, w).

    Raises:
        CheckpointError: when the rows are no square and nobody says what else.
    """
    rows = arrays.shape(name, 3)[1]
    options = {}
    for before in dict.fromkeys((prefix,) if always else (prefix, 0)):
        grid = _grid(rows - before, stride, request)
        if grid is not None:
            options[before] = grid
    if not options:
        raise CheckpointError(
            f"{arrays.where}: {rows} positions with {prefix} tokens before the patches "
            f"make no square grid, got image_size={request.image_size}. Pass "
            "image_size=(H, W) or stored_grid=(rows, columns) of the file."
        )
    likely = _likely(stride, request)
    exact = [before for before, grid in options.items() if grid in likely]
    before = exact[0] if exact else next(iter(options))
    grid = options[before]
    size = request.image_size or tuple(
        side * px for side, px in zip(grid, stride, strict=True)
    )
    return {"position_prefix": before == prefix, "image_size": size}, grid


def _likely(stride, request):
    """Patch grids of the image sizes that the caller or config names."""
    sizes = [size for size in (request.image_size, request.usual_size) if size]
    return [tuple(s // p for s, p in zip(z, stride, strict=True)) for z in sizes]


def _grid(count, stride, request):
    """(h, w) of `count` patches, or None."""
    if count < 1:
        return None
    if request.stored_grid is not None:
        return request.stored_grid if math.prod(request.stored_grid) == count else None
    side = math.isqrt(count)
    if side * side == count:
        return side, side
    fitting = [grid for grid in _likely(stride, request) if math.prod(grid) == count]
    return fitting[0] if fitting else None


def image_size_needed(arrays, request):
    """Image size where positions are computed and not stored.

    Raises:
        CheckpointError: when the caller does not say it.
    """
    if request.image_size is None and request.usual_size is None:
        raise CheckpointError(
            f"{arrays.where}: its positions are computed, so it does not tell its "
            f"image size, got {listed(arrays, 2)}. Pass image_size=224, for example."
        )
    return request.image_size or request.usual_size
