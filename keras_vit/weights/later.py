"""Families of files that load into models of other classes.

`describe` names them; `from_checkpoint` says which class they belong to.
"""

import re

from keras_vit.weights.checkpoint_facts import Family

TENSORFLOW_IGPT = re.compile(r"(model/)?h\d+/attn/q_proj")


def _image_gpt(arrays):
    return "transformer.wte.weight" in arrays or any(map(TENSORFLOW_IGPT.match, arrays))


def _big_vision_bit(arrays):
    roots = ("root_block/conv_root", "params/root_block/conv_root")
    return any(name.startswith(roots) for name in arrays)


def _refuse(arrays, request):
    raise TypeError(f"{arrays.where}: belongs to another class.")


FAMILIES = (
    Family(
        "image_gpt", _image_gpt, lambda a: a, _refuse, lambda o: [],
        later="an image GPT, a model of its own. Read it with "
        "keras_vit.ImageGPT.from_checkpoint",
    ),
    Family(
        "big_vision_bit", _big_vision_bit, lambda a: a, _refuse, lambda o: [],
        later="a ResNet of big_vision, which pads its root otherwise than Big "
        "Transfer's. Use a file of big_transfer (BiT-M-R50x1.npz) or of timm",
    ),
)  # fmt: skip
