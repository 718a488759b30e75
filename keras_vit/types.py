"""Names for the types that arguments of many functions have.

Keras is not typed: a checker takes what comes from it as anything, an editor reads
its source. Nothing is imported from it here, as tables and file headers need no Keras.
"""

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

FilePath: TypeAlias = str | os.PathLike[str]
Config: TypeAlias = dict[str, Any]  # plain values, as `get_config` gives them
Size: TypeAlias = int | tuple[int, int]  # side of a square in px, or (H, W)
Shape: TypeAlias = tuple[Any, ...]  # whole numbers, None for what is open
Tensor: TypeAlias = Any  # of Keras' backend, a numpy array, or symbolic
Images: TypeAlias = Any  # (B, H, W, C): a tensor, or what numpy makes an array of
Dataset: TypeAlias = Iterable[Any]  # batches, such as a `tf.data.Dataset`
Figure: TypeAlias = Any  # `matplotlib.figure.Figure`; matplotlib need not be there
