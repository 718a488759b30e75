"""Keras layer names, parsed from the operator names of converters."""

import re


def layer_path(*names):
    """Parse the layer's path from the converter's names of its result and weight.

    Names hold a path per operator that was fused; an output's is that of the output.

    >>> layer_path("vit_1/block_3_1/norm_1/mul;vit_1/block_3_1/fc1_1/Tensordot/MatMul")
    'block_3/fc1'
    >>> layer_path("logits", "vit_1/head_1/MatMul"), layer_path("m_1/pool_1/MaxPool")
    ('head', 'pool')
    """
    paths = [part.split("/") for name in names for part in name.split(";")]
    paths = [path for path in paths if len(path) > 1] or paths
    products = [path for path in paths if any(map(PRODUCT.fullmatch, path))]
    path = products[0] if products else paths[-1]
    end = next((i for i, part in enumerate(path) if WORK.fullmatch(part)), -1)
    layers = [part.removesuffix("_1") for part in path[:end]]
    return "/".join(layers[1:] or layers) or "/".join(path)


# Those that multiply with a weight, and those that come after them.
PRODUCT = re.compile(r"(Tensordot|MatMul|convolution|Conv2D|depthwise|einsum)[\d_]*")


WORK = re.compile(rf"{PRODUCT.pattern}|(BiasAdd|ReadVariableOp)[\d_]*")
