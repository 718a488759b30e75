"""Families whose files are known but whose models are other classes.

`describe` names them; `from_checkpoint` says which class they belong to.
"""

import re

from keras_vit.weights.facts import Family

TENSORFLOW_IGPT = re.compile(r"(model/)?h\d+/attn/q_proj")


def _image_gpt(arrays):
    return "transformer.wte.weight" in arrays or any(map(TENSORFLOW_IGPT.match, arrays))


def _bit(arrays):
    roots = ("resnet/root_block", "root_block/conv_root", "params/root_block/conv_root")
    by_prefix = any(name.startswith(roots) for name in arrays)
    return by_prefix or {"stem.conv.weight", "head.fc.weight"} <= set(arrays)


def _refuse(arrays, request):
    raise TypeError(f"{arrays.where}: belongs to another class.")


FAMILIES = (
    Family(
        "image_gpt", _image_gpt, lambda a: a, _refuse, lambda o: [],
        later="an image GPT, which classifies nothing. Build keras_vit.ImageGPT_S and "
        "its like where this version has them",
    ),
    Family(
        "bit", _bit, lambda a: a, _refuse, lambda o: [],
        later="a Big Transfer ResNet. Build keras_vit.BiT_R50x1 and its like where "
        "this version has them",
    ),
)  # fmt: skip
