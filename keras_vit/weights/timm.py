"""PyTorch weights: timm with its hybrids, DeiT, DeiT-III, MAE."""

import math
import re

from keras_vit.errors import CheckpointError
from keras_vit.weights.checkpoint_facts import Facts, Family, blocks, heads_of, position
from keras_vit.weights.google import patch_stride
from keras_vit.weights.mapping import Rule, numbered, pair, single
from keras_vit.weights.timm_config import TimmConfig, labels_of

BLOCK = r"blocks\.(\d+)\."
LINEAR = ((".weight", "/kernel", "transpose"), (".bias", "/bias", "same"))
NORM = ((".weight", "/gamma", "same"), (".bias", "/beta", "same"))
BACKBONE = "patch_embed.backbone."
UNIT = r"patch_embed\.backbone\.stages\.(\d{1,2})\.blocks\.(\d{1,3})\."
# Other spellings -> the one of the table.
SPELLINGS = (
    (r"^register_tokens$", "reg_token"),
    (r"^(blocks\.\d+)\.gamma_([12])$", r"\1.ls\2.gamma"),
    (r"^pre_logits\.fc\.", "pre_logits."),
)
MAE = "MAE's decoder"


def recognises(arrays):
    """Whether names are PyTorch's, with a patch projection and blocks."""
    return any(name.endswith("patch_embed.proj.weight") for name in arrays)


def normalise(arrays):
    """Normalise the spelling of names; MAE's decoder is set aside."""
    arrays = arrays.renamed(_canonical)
    mae = any(name.startswith("decoder_") for name in arrays)
    masks = MAE if mae else "used in pre-training alone"

    def other_part(name):
        if name == "mask_token":
            return masks
        return MAE if name.startswith("decoder_") else None

    return arrays.without(other_part)


def _canonical(name):
    for old, new in SPELLINGS:
        name = re.sub(old, new, name)
    return name


def is_mae(arrays):
    """Whether a masked autoencoder's decoder was set aside."""
    return MAE in arrays.left_out.values()


def read(arrays, request):
    """`Facts` of a timm state dict."""
    patch, channels, width = _patch(arrays)
    stem = _units(arrays)
    if stem is not None:
        root = f"{BACKBONE}{'stem.' if stem else ''}conv.weight"
        channels = arrays.shape(root, 4)[1]
    depth = blocks(arrays, BLOCK)
    mlp = arrays.shape("blocks.0.mlp.fc1.weight", 2)[0]
    config = TimmConfig(arrays)
    config.check()
    heads, sentence = _heads(arrays, config, request, width, depth, mlp)
    _refuse_invisible(arrays, config)
    registers = arrays.shape("reg_token", 3)[1] if "reg_token" in arrays else 0
    options = {
        "patch_size": patch,
        "channels": channels,
        "width": width,
        "depth": depth,
        "heads": heads,
        "mlp_dim": mlp,
        "class_token": "cls_token" in arrays,
        "distilled": "dist_token" in arrays,
        "registers": registers,
        "position": "learned",
        "stem": stem,
        **_switches(arrays),
        "activation": config.activation(),
        "epsilon": config.epsilon(),
        **_top(arrays, config),
    }
    prefix = int(options["class_token"]) + int(options["distilled"]) + registers
    stride = patch_stride(options)
    fields, grid = position(arrays, "pos_embed", prefix, stride, request)
    facebook = is_mae(arrays) or arrays.notes.get("wrap") == "model"
    kernel = "bicubic" if facebook else "bicubic_antialias"
    notes = [sentence, *_notes(arrays, config, options)]
    return Facts({**options, **fields}, grid, kernel, tuple(filter(None, notes)))


def _refuse_invisible(arrays, config):
    """Refuse post-norm networks, whose arrays are those of another.

    Raises:
        CheckpointError: for arrays like those of timm's rpn, without a configuration.
    """
    bare = "blocks.0.attn.qkv.bias" not in arrays and "cls_token" not in arrays
    if bare and not config and "keras_vit" not in arrays.notes:
        raise CheckpointError(
            f"{arrays.where}: qkv without bias and no class token are what timm's rpn "
            "models have, whose norms follow the layers; the arrays do not tell. "
            "Put timm's config.json beside the file."
        )


def _notes(arrays, config, options):
    """Notes on architecture options that the arrays do not show."""
    if "keras_vit" in arrays.notes:
        return
    if not config and options["norm_input"]:
        yield (
            "a norm in front of the blocks, as in CLIP: took exact GELU and epsilon "
            "1e-6. timm's CLIP has epsilon=1e-5; OpenAI's QuickGELU is not read. The "
            "arrays do not tell; timm's config.json would."
        )
    if options["layer_scale"] and "mask_token" in arrays.left_out:
        yield "positions of another size are resampled as timm does, not DINOv2's code."
    if options.get("classes"):
        yield labels_of(config.config, options["classes"])[1]


def _units(arrays):
    """Units per ResNet stage of a hybrid: (3, 4, 9), () for the root alone, or None."""
    if not any(name.startswith(BACKBONE) for name in arrays):
        return None
    units = {}
    for match in filter(None, (re.match(UNIT, name) for name in arrays)):
        units.setdefault(int(match[1]), set()).add(int(match[2]))
    counts = [len(units.get(stage, ())) for stage in range(len(units))]
    if 0 in counts or f"{BACKBONE}{'stem.' if units else ''}conv.weight" not in arrays:
        raise CheckpointError(
            f"{arrays.where}: a hybrid's ResNet must have a root and stages numbered "
            f"from 0 without a gap, got {sorted(units)[:20]}. Other backbones are not "
            "read; fetch the file again if it is a ResNet."
        )
    return tuple(counts)


def _patch(arrays):
    """((rows, columns), channels, width) of the patch projection."""
    name = "patch_embed.proj.weight"
    if name in arrays and len(arrays[name].shape) == 2:
        width, values = arrays.shape(name, 2)
        side = math.isqrt(values // 3)
        if 3 * side * side != values:
            raise CheckpointError(
                f"{arrays.where}: a flat patch projection must have 3*P*P columns, got "
                f"{values}. Use a newer export of the model."
            )
        return (side, side), 3, width
    width, channels, rows, columns = arrays.shape(name, 4)
    return (rows, columns), channels, width


def _heads(arrays, config, request, width, depth, mlp):
    """Number of heads: from per-head norms, metadata, caller, timm or known sizes."""
    if "blocks.0.attn.q_norm.weight" in arrays:
        each = arrays.shape("blocks.0.attn.q_norm.weight", 1)[0]
        if width % each == 0 and each < width:
            return width // each, None
    own = arrays.notes.get("keras_vit")
    own = own.get("heads") if isinstance(own, dict) else None
    if isinstance(own, int) and not isinstance(own, bool) and request.heads is None:
        return own, None
    if request.heads is None and config.heads() is not None:
        return config.heads(), None
    return heads_of(arrays, request, width, depth, mlp)


def _switches(arrays):
    """Optional parts of blocks and embedding."""
    return {
        "qkv_bias": "blocks.0.attn.qkv.bias" in arrays,
        "qk_norm": "blocks.0.attn.q_norm.weight" in arrays,
        "layer_scale": 1e-5 if "blocks.0.ls1.gamma" in arrays else None,
        "patch_bias": "patch_embed.proj.bias" in arrays,
        "norm_input": "norm_pre.weight" in arrays,
        "norm_pooled": "fc_norm.weight" in arrays,
    }


def _top(arrays, config):
    """Norm, pooling and head of the model."""
    if is_mae(arrays):
        return {"include_top": False, "pooling": None}
    if "attn_pool.latent" in arrays:
        pooling = "map"
    elif "fc_norm.weight" in arrays or "cls_token" not in arrays:
        pooling = "gap"
    else:
        pooling = "token"
    if pooling == "token":
        pooling = config.pooling("cls_token" in arrays) or pooling
    options = {"pooling": pooling, "include_top": "head.weight" in arrays}
    if "head.weight" in arrays:
        options["classes"] = arrays.shape("head.weight", 2)[0]
        options["labels"] = labels_of(config.config, options["classes"])[0]
    if "pre_logits.weight" in arrays:
        options["representation_size"] = arrays.shape("pre_logits.weight", 2)[0]
    return options


def rules(options):
    """Rules of the names, for one architecture."""
    tokens = ("cls_token", "dist_token") if options.get("distilled") else ("cls_token",)
    linear = (
        single("pre_logits", "pre_logits"),
        single("head", "head"),
        single("head_dist", "head_dist"),
    )
    return [
        *_stem(options.get("stem")),
        Rule(tokens, ("patch_encoder/class_token",), axis=1),
        Rule(("reg_token",), ("patch_encoder/registers",)),
        Rule(("pos_embed",), ("patch_encoder/position/embedding",)),
        Rule(
            ("patch_embed.proj.weight",),
            ("patch_encoder/projection/kernel",),
            "patch_oihw",
        ),
        Rule(("patch_embed.proj.bias",), ("patch_encoder/projection/bias",)),
        *pair([single("norm_pre", "norm_input")], NORM),
        *numbered(block_rules(), i=range(options["depth"])),
        *pair([single("norm", "norm"), single("fc_norm", "fc_norm")], NORM),
        *_pooling(),
        *pair(linear, LINEAR),
    ]


def block_rules():
    """Rules of one block, under the names of block {i}."""
    at, ours = "blocks.{i}.", "block_{i}/"
    norms = [("norm1", "norm1"), ("norm2", "norm2")]
    norms += [
        ("attn.q_norm", "attention/query_norm"),
        ("attn.k_norm", "attention/key_norm"),
    ]
    dense = [("attn.qkv", "attention/qkv"), ("attn.proj", "attention/proj")]
    dense += [("mlp.fc1", "mlp/fc1"), ("mlp.fc2", "mlp/fc2")]
    scales = [single(f"{at}ls{n}.gamma", f"{ours}scale{n}/gamma") for n in (1, 2)]
    return [
        *pair([single(at + file, ours + model) for file, model in norms], NORM),
        *pair([single(at + file, ours + model) for file, model in dense], LINEAR),
        *scales,
    ]


def _stem(stem):
    """Rules of a hybrid's ResNet."""
    if stem is None:
        return []
    root = f"{BACKBONE}{'stem.' if stem else ''}"
    stem_rules = [_convolution(f"{root}conv", "stem_root")]
    norms = [single(f"{root}norm", "stem_norm")]
    for stage, count in enumerate(stem):
        for unit in range(count):
            theirs = f"{BACKBONE}stages.{stage}.blocks.{unit}"
            ours = f"stage{stage + 1}_unit{unit + 1}"
            for part in "123":
                stem_rules.append(
                    _convolution(f"{theirs}.conv{part}", f"{ours}/conv{part}")
                )
                norms.append(single(f"{theirs}.norm{part}", f"{ours}/norm{part}"))
            down = f"{theirs}.downsample"
            stem_rules.append(_convolution(f"{down}.conv", f"{ours}/conv_proj"))
            norms.append(single(f"{down}.norm", f"{ours}/norm_proj"))
    return [*stem_rules, *pair(norms, NORM)]


def _convolution(file, model):
    return Rule((f"{file}.weight",), (f"{model}/kernel",), "conv_oihw")


def _pooling():
    """Rules of timm's attention pooling, with a fused key-value matrix."""
    linear = [
        single("attn_pool.q", "pool/query"),
        Rule(("attn_pool.kv",), ("pool/key", "pool/value")),
        single("attn_pool.proj", "pool/proj"),
        single("attn_pool.mlp.fc1", "pool/mlp/fc1"),
        single("attn_pool.mlp.fc2", "pool/mlp/fc2"),
    ]
    return [
        Rule(("attn_pool.latent",), ("pool/probe",)),
        *pair(linear, LINEAR),
        *pair([single("attn_pool.norm", "pool/norm")], NORM),
    ]


FAMILY = Family("timm", recognises, normalise, read, rules)
