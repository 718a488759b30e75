"""Abstract models: weight shapes without memory."""

import concurrent.futures
from collections.abc import Callable
from typing import Any

import keras


def outline(
    build: Callable[..., keras.Model], *args: Any, **options: Any
) -> keras.Model:
    """Build a model without allocating its weights.

    Keras notes such weights in a list of the current thread, and fills all of them
    the next time it works out a shape; so this runs in a thread of its own, whose
    list ends with it.

    Args:
        build: function that returns a model, such as `keras_vit.create`.
        *args, **options: for `build`.

    Returns:
        The model. Paths, shapes and configuration are as usual; it cannot be run.

    Raises:
        What `build` raises.

    >>> import keras_vit
    >>> outline(keras_vit.create, "ViT-H/14").count_params()
    632045800
    """

    def shapes_only():
        with keras.StatelessScope(initialize_variables=False):
            return build(*args, **options)

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(shapes_only).result()
