"""Weights and configuration of Hugging Face transformers: ViT, DeiT, ViTMAE.

The hub's names (transformers 4 and earlier) and the shorter in-memory names of
transformers 5 are both read; the table uses the hub's.
"""

import re

from keras_vit.errors import CheckpointError
from keras_vit.weights.checkpoint_facts import Facts, Family, blocks, position
from keras_vit.weights.mapping import Rule, numbered, pair, single
from keras_vit.weights.timm_config import labels_of

BLOCK = r"encoder\.layer\.(\d+)\."
LINEAR = ((".weight", "/kernel", "transpose"), (".bias", "/bias", "same"))
NORM = ((".weight", "/gamma", "same"), (".bias", "/beta", "same"))
PATCH = "embeddings.patch_embeddings.projection"
POSITION = "embeddings.position_embeddings"
# In-memory name -> the hub's.
SPELLINGS = (
    (r"^(vit|deit)\.", ""),
    (r"^layers\.(\d+)\.", r"encoder.layer.\1."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
)
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def recognises(arrays):
    """Whether names have transformers' patch projection, with or without prefix."""
    return any(name.endswith(f"{PATCH}.weight") for name in arrays)


def normalise(arrays):
    """Remove the prefix; MAE's decoder is set aside."""
    arrays = arrays.renamed(_canonical)
    return arrays.without(_other_part)


def _canonical(name):
    if name.startswith("decoder."):
        return name
    for old, new in SPELLINGS:
        name = re.sub(old, new, name)
    return name


def _other_part(name):
    if name.startswith("decoder."):
        return "MAE's decoder"
    if name == "embeddings.mask_token":
        return "used in pre-training alone"
    return None


class Config(dict):
    """config.json with checked values."""

    def __init__(self, arrays):
        super().__init__(arrays.notes.get("config") or {})
        self.where = arrays.where

    def whole(self, name, default=None):
        """Read a whole number above 0."""
        value = self.get(name, default)
        if type(value) is not int or value < 1:
            self._refuse(name, "a whole number above 0", value)
        return value

    def number(self, name, default):
        """Read a number between 0 and 1."""
        value = self.get(name, default)
        if type(value) not in (int, float) or not 0 < value < 1:
            self._refuse(name, "between 0 and 1", value)
        return float(value)

    def sides(self, name):
        """(rows, columns), from one number or two; None when absent."""
        value = self.get(name)
        if value is None:
            return None
        sides = tuple(value) if isinstance(value, list) else (value, value)
        if len(sides) != 2 or not all(type(s) is int and s > 0 for s in sides):
            self._refuse(name, "one or two whole numbers above 0", value)
        return sides

    def activation(self):
        """Our name of `hidden_act`."""
        value = self.get("hidden_act", "gelu")
        if not isinstance(value, str) or value not in ACTIVATIONS:
            self._refuse("hidden_act", f"one of {', '.join(ACTIVATIONS)}", value)
        return ACTIVATIONS[value]

    def labels(self, classes):
        """Names of the classes, or None when they are only numbered."""
        return labels_of(self, classes)[0]

    def _refuse(self, name, rule, value):
        raise CheckpointError(
            f"{self.where}: config.json must give {name!r} as {rule}, got "
            f"{str(value)[:60]!r}. Put the model's own config.json beside the weights."
        )


def read(arrays, request):
    """`Facts` of transformers weights with their configuration."""
    config = Config(arrays)
    if not config:
        raise CheckpointError(
            f"{arrays.where}: transformers weights need their configuration for the "
            "number of heads and the epsilon, got none. Put config.json beside them."
        )
    width, channels, rows, columns = arrays.shape(f"{PATCH}.weight", 4)
    distilled = "embeddings.distillation_token" in arrays
    two_heads = distilled and "distillation_classifier.weight" in arrays
    request = request._replace(
        heads=request.heads or config.whole("num_attention_heads"),
        image_size=request.image_size or config.sides("image_size"),
    )
    options = {
        "patch_size": (rows, columns),
        "channels": channels,
        "width": width,
        "depth": blocks(arrays, BLOCK),
        "heads": request.heads,
        "mlp_dim": arrays.shape("encoder.layer.0.intermediate.dense.weight", 2)[0],
        "class_token": True,
        "distilled": two_heads,
        "registers": int(distilled and not two_heads),
        "position": "learned",
        "qkv_bias": "encoder.layer.0.attention.attention.query.bias" in arrays,
        "activation": config.activation(),
        "epsilon": config.number("layer_norm_eps", 1e-12),
        **_top(arrays, config),
    }
    found, grid = _position(arrays, config, options, request)
    return Facts({**options, **found}, grid, "bicubic")


def _position(arrays, config, options, request):
    """Positions belong to the image size of the configuration."""
    prefix = 1 + int(options["distilled"]) + options["registers"]
    stored = config.sides("image_size")
    if stored is not None and request.stored_grid is None:
        sides = zip(stored, options["patch_size"], strict=True)
        request = request._replace(stored_grid=tuple(s // p for s, p in sides))
    patch = options["patch_size"]
    return position(arrays, POSITION, prefix, patch, request, always=True)


def _top(arrays, config):
    """Norm, pooling and head of the model."""
    if any("decoder" in reason for reason in arrays.left_out.values()):
        return {"include_top": False, "pooling": None}
    head = _head(arrays)
    options = {"pooling": "token", "include_top": head is not None}
    if head is not None:
        options["classes"] = arrays.shape(f"{head}.weight", 2)[0]
        options["labels"] = config.labels(options["classes"])
    if "pooler.dense.weight" in arrays:
        options["representation_size"] = arrays.shape("pooler.dense.weight", 2)[0]
    return options


def _head(arrays):
    for name in ("classifier", "cls_classifier"):
        if f"{name}.weight" in arrays:
            return name
    return None


def rules(options):
    """Rules of the names, for one architecture."""
    distilled = options.get("distilled")
    token, extra = "embeddings.cls_token", "embeddings.distillation_token"
    embeddings = [Rule((token,), ("patch_encoder/class_token",))]
    if distilled:
        embeddings = [Rule((token, extra), ("patch_encoder/class_token",), axis=1)]
    elif options.get("registers"):
        embeddings.append(Rule((extra,), ("patch_encoder/registers",)))
    head = "cls_classifier" if distilled else "classifier"
    return [
        *embeddings,
        Rule((POSITION,), ("patch_encoder/position/embedding",)),
        Rule((f"{PATCH}.weight",), ("patch_encoder/projection/kernel",), "patch_oihw"),
        Rule((f"{PATCH}.bias",), ("patch_encoder/projection/bias",)),
        *numbered(block_rules(), i=range(options["depth"])),
        *pair([single("layernorm", "norm")], NORM),
        *pair([single("pooler.dense", "pre_logits"), single(head, "head")], LINEAR),
        *pair([single("distillation_classifier", "head_dist")], LINEAR),
    ]


def block_rules():
    """Rules of one block, under the names of block {i}."""
    at, ours = "encoder.layer.{i}.", "block_{i}/"
    parts = ("query", "key", "value")
    fused = Rule(
        tuple(f"{at}attention.attention.{part}" for part in parts),
        (f"{ours}attention/qkv",),
    )
    dense = [
        single(f"{at}attention.output.dense", f"{ours}attention/proj"),
        single(f"{at}intermediate.dense", f"{ours}mlp/fc1"),
        single(f"{at}output.dense", f"{ours}mlp/fc2"),
    ]
    norms = [
        single(f"{at}layernorm_before", f"{ours}norm1"),
        single(f"{at}layernorm_after", f"{ours}norm2"),
    ]
    return [*pair([fused, *dense], LINEAR), *pair(norms, NORM)]


FAMILY = Family("huggingface", recognises, normalise, read, rules)
