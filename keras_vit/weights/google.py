"""Weights of google-research/vision_transformer: ViT, AugReg, SAM, hybrids.

Published files number modules across classes (LayerNorm_0,
MultiHeadDotProductAttention_1, LayerNorm_2, MlpBlock_3), newer exports per
class; both are read.
"""

import functools
import re

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights.arrays import ArrayFile, Entry
from keras_vit.weights.checkpoint_facts import Facts, Family, blocks, position
from keras_vit.weights.mapping import Rule, numbered, pair, single

BLOCK = r"Transformer/encoderblock_(\d+)/"
POSITION = "Transformer/posembed_input/pos_embedding"
STACK = "Transformer/encoderblock/"
ATTENTION = "MultiHeadDotProductAttention_0"
DENSE = (("/kernel", "/kernel", "same"), ("/bias", "/bias", "same"))
NORM = (("/scale", "/gamma", "same"), ("/bias", "/beta", "same"))
GROUP_NORM = (("/scale", "/gamma", "vector"), ("/bias", "/beta", "vector"))
HEADS_IN = (("/kernel", "/kernel", "heads_in"), ("/bias", "/bias", "heads_bias"))
HEADS_OUT = (("/kernel", "/kernel", "heads_out"), ("/bias", "/bias", "same"))


def recognises(arrays):
    """Whether names are Flax names with vit_jax's position table."""
    return "embedding/kernel" in arrays and POSITION in arrays


def per_class(name):
    """Number modules per class, as newer Flax does."""
    for old, new in (
        (r"MultiHeadDotProductAttention_\d+", ATTENTION),
        (r"MlpBlock_\d+", "MlpBlock_0"),
        (r"(encoderblock_?\d*)/LayerNorm_2", r"\1/LayerNorm_1"),
    ):
        name = re.sub(old, new, name)
    return name


def normalise(arrays):
    """Normalise both module numberings and the names of blocks."""
    return unstacked(arrays.renamed(per_class))


def unstacked(arrays):
    """Split arrays that stack all blocks along a leading axis."""
    if not any(name.startswith(STACK) for name in arrays):
        return arrays
    result = ArrayFile(arrays.where, arrays.format, {}, arrays.notes, arrays.left_out)
    for name, entry in arrays.items():
        if not name.startswith(STACK):
            result.entries[name] = entry
            result.origin[name] = arrays.origin[name]
            continue
        if not entry.shape or entry.shape[0] > len(arrays) * 1000:
            raise CheckpointError(
                f"{arrays.where}: stacked blocks need a leading axis, got shape "
                f"{entry.shape} for {arrays.origin[name]!r}. Fetch the file again."
            )
        whole = functools.lru_cache(maxsize=1)(entry.read)
        for block in range(entry.shape[0]):
            new = f"Transformer/encoderblock_{block}/{name.removeprefix(STACK)}"
            result.entries[new] = Entry(
                entry.shape[1:], entry.dtype, _row(whole, block)
            )
            result.origin[new] = f"{arrays.origin[name]}[{block}]"
    return result


def _row(whole, block):
    return lambda: np.ascontiguousarray(whole()[block])


def read(arrays, request):
    """`Facts` of a vit_jax file."""
    options = encoder(arrays)
    prefix = int(options["class_token"])
    stride = patch_stride(options)
    found, grid = position(arrays, POSITION, prefix, stride, request, always=True)
    return Facts({**options, **found}, grid, "zoom")


def patch_stride(options):
    """Stride of patches in px of the image, (rows, columns)."""
    stem = options["stem"]
    step = 1 if stem is None else 4 * 2 ** max(len(stem) - 1, 0)  # hybrid.shrink
    return tuple(side * step for side in options["patch_size"])


def encoder(arrays):
    """Fields of `Architecture` that vit_jax and big_vision files share."""
    rows, columns, features, width = arrays.shape("embedding/kernel", 4)
    depth = blocks(arrays, BLOCK)
    heads = arrays.shape(f"Transformer/encoderblock_0/{ATTENTION}/query/kernel", 3)[1]
    mlp = arrays.shape("Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel", 2)[1]
    stem = units(arrays)
    channels = features if stem is None else arrays.shape("conv_root/kernel", 4)[2]
    options = {
        "patch_size": (rows, columns),
        "width": width,
        "depth": depth,
        "heads": heads,
        "mlp_dim": mlp,
        "channels": channels,
        "stem": stem,
        "class_token": "cls" in arrays,
        "position": "learned",
        "activation": "gelu_tanh",
        "include_top": "head/kernel" in arrays,
    }
    if "head/kernel" in arrays:
        options["classes"] = arrays.shape("head/kernel", 2)[1]
    if "pre_logits/kernel" in arrays:
        options["representation_size"] = arrays.shape("pre_logits/kernel", 2)[1]
    if "MAPHead_0/probe" in arrays:
        options["pooling"] = "map"
    else:
        options["pooling"] = "token" if "cls" in arrays else "gap"
    return options


def units(arrays):
    """Units per ResNet stage of a hybrid: (3, 4, 9), () for the root alone, or None."""
    if "conv_root/kernel" not in arrays:
        return None
    counts = {}
    for name in arrays:
        found = re.match(r"block(\d{1,2})/unit(\d{1,3})/", name)
        if found:
            stage, unit = int(found[1]), int(found[2])
            counts[stage] = max(counts.get(stage, 0), unit)
    if sorted(counts) != list(range(1, len(counts) + 1)):
        raise CheckpointError(
            f"{arrays.where}: ResNet stages must be numbered from 1 without a gap, got "
            f"{sorted(counts)[:20]}. The file is incomplete; fetch it again."
        )
    return tuple(counts[stage] for stage in sorted(counts))


def rules(options, position_name=POSITION):
    """Rules of the names, for one architecture."""
    block = [
        *pair([single("LayerNorm_0", "norm1"), single("LayerNorm_1", "norm2")], NORM),
        *pair([_fused(ATTENTION, "attention/qkv")], HEADS_IN),
        *pair([single(f"{ATTENTION}/out", "attention/proj")], HEADS_OUT),
        *pair([single("MlpBlock_0/Dense_0", "mlp/fc1")], DENSE),
        *pair([single("MlpBlock_0/Dense_1", "mlp/fc2")], DENSE),
    ]
    return [
        *_stem(options.get("stem")),
        Rule(("cls",), ("patch_encoder/class_token",)),
        Rule((position_name,), ("patch_encoder/position/embedding",)),
        Rule(("embedding/kernel",), ("patch_encoder/projection/kernel",), "patch_hwio"),
        Rule(("embedding/bias",), ("patch_encoder/projection/bias",)),
        *numbered(_inside(block), i=range(options["depth"])),
        *pair([single("Transformer/encoder_norm", "norm")], NORM),
        *_pooling(),
        *pair([single("pre_logits", "pre_logits"), single("head", "head")], DENSE),
    ]


def _fused(file, model):
    return Rule(tuple(f"{file}/{part}" for part in ("query", "key", "value")), (model,))


def _inside(block):
    """Prefix the rules of one block by its name."""
    return [
        rule._replace(
            files=tuple(f"Transformer/encoderblock_{{i}}/{n}" for n in rule.files),
            models=tuple(f"block_{{i}}/{n}" for n in rule.models),
        )
        for rule in block
    ]


def _pooling():
    """Rules of attention pooling, which only big_vision has."""
    attention = f"MAPHead_0/{ATTENTION}"
    separate = [
        single(f"{attention}/{part}", f"pool/{part}")
        for part in ("query", "key", "value")
    ]
    return [
        Rule(("MAPHead_0/probe",), ("pool/probe",)),
        *pair(separate, HEADS_IN),
        *pair([single(f"{attention}/out", "pool/proj")], HEADS_OUT),
        *pair([single("MAPHead_0/LayerNorm_0", "pool/norm")], NORM),
        *pair([single("MAPHead_0/MlpBlock_0/Dense_0", "pool/mlp/fc1")], DENSE),
        *pair([single("MAPHead_0/MlpBlock_0/Dense_1", "pool/mlp/fc2")], DENSE),
    ]


def _stem(stem):
    """Rules of a hybrid's ResNet."""
    if stem is None:
        return []
    stem_rules = [
        Rule(("conv_root/kernel",), ("stem_root/kernel",)),
        *pair([single("gn_root", "stem_norm")], GROUP_NORM),
    ]
    for stage, count in enumerate(stem, start=1):
        for unit in range(1, count + 1):
            ours, theirs = f"stage{stage}_unit{unit}", f"block{stage}/unit{unit}"
            for part in ("1", "2", "3", "_proj"):
                stem_rules.append(
                    Rule(
                        (f"{theirs}/conv{part}/kernel",), (f"{ours}/conv{part}/kernel",)
                    )
                )
                norm = single(f"{theirs}/gn{part}", f"{ours}/norm{part}")
                stem_rules += pair([norm], GROUP_NORM)
    return stem_rules


FAMILY = Family("google", recognises, normalise, read, rules)
