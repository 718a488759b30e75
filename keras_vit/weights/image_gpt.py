"""Weights of image GPT: transformers' names and those of the TensorFlow checkpoint."""

import math
import re

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights import checkpoint_facts as reading
from keras_vit.weights import hf, mapping
from keras_vit.weights.arrays import ArrayFile, Entry, listed
from keras_vit.weights.checkpoint import locate
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.mapping import Rule, numbered

HUGGING_FACE = (
    Rule(("wte.weight",), ("embedding",)),
    Rule(("wpe.weight",), ("position",)),
    Rule(("ln_f.weight",), ("norm/gamma",)),
    Rule(("lm_head.weight",), ("head/kernel",), "transpose"),
)
HUGGING_FACE_BLOCK = (
    Rule(("h.{i}.ln_1.weight",), ("block_{i}/norm1/gamma",)),
    Rule(("h.{i}.ln_2.weight",), ("block_{i}/norm2/gamma",)),
    Rule(("h.{i}.attn.c_attn.weight",), ("block_{i}/qkv/kernel",)),
    Rule(("h.{i}.attn.c_attn.bias",), ("block_{i}/qkv/bias",)),
    Rule(("h.{i}.attn.c_proj.weight",), ("block_{i}/proj/kernel",)),
    Rule(("h.{i}.attn.c_proj.bias",), ("block_{i}/proj/bias",)),
    Rule(("h.{i}.mlp.c_fc.weight",), ("block_{i}/fc1/kernel",)),
    Rule(("h.{i}.mlp.c_fc.bias",), ("block_{i}/fc1/bias",)),
    Rule(("h.{i}.mlp.c_proj.weight",), ("block_{i}/fc2/kernel",)),
    Rule(("h.{i}.mlp.c_proj.bias",), ("block_{i}/fc2/bias",)),
)
TENSORFLOW = (
    Rule(("wte", "sos"), ("embedding",), axis=0),
    Rule(("wpe",), ("position",)),
    Rule(("ln_f/g",), ("norm/gamma",)),
    Rule(("wtet",), ("head/kernel",), "transpose"),
)
TENSORFLOW_BLOCK = (
    Rule(("h{i}/ln_1/g",), ("block_{i}/norm1/gamma",)),
    Rule(("h{i}/ln_2/g",), ("block_{i}/norm2/gamma",)),
    Rule(
        ("h{i}/attn/q_proj", "h{i}/attn/k_proj", "h{i}/attn/v_proj"),
        ("block_{i}/qkv/kernel",),
        "heads_in_rows",
    ),
    Rule(("h{i}/attn/c_proj",), ("block_{i}/proj/kernel",), "heads_out"),
    Rule(("h{i}/mlp/c_fc/w",), ("block_{i}/fc1/kernel",)),
    Rule(("h{i}/mlp/c_proj/w",), ("block_{i}/fc2/kernel",)),
)
OTHERS = re.compile(
    r"clf/|h\.\d+\.attn\.(masked_)?bias$"
)  # a classifier; constant masks


def load(model_class, path, heads=None, image_size=None, **wishes):
    """Build an image GPT and load its weights; see `ImageGPT.from_checkpoint`."""
    arrays = open_checkpoint(locate(path)[0])
    hugging = any(name.endswith("wte.weight") for name in arrays)
    arrays = _plain(arrays.renamed(_short).without(_reason))
    rules, options = (_hugging if hugging else _tensorflow)(arrays, heads)
    count = options.pop("positions")
    side = math.isqrt(count)
    if image_size is None and side * side != count:
        raise CheckpointError(
            f"{arrays.where}: {count} positions make no square image. Pass "
            "image_size=(H, W)."
        )
    model = model_class(image_size=image_size or side, **{**options, **wishes})
    _fill(model, arrays, rules)
    return model


def _short(name):
    return re.sub(r"^(transformer\.|model/)", "", name)


def _reason(name):
    return "not part of the model" if OTHERS.match(name) else None


def _plain(arrays):
    """Reshape the start token to a row, and drop leading axes of 1."""
    plain = {}
    for name, entry in arrays.items():
        shape = entry.shape
        if name == "sos":
            shape = (1, shape[-1])
        elif len(shape) > 1 and shape[0] == 1 and not name.endswith("_proj"):
            shape = shape[1:]
        plain[name] = Entry(shape, entry.dtype, _reshaped(entry, shape))
    result = ArrayFile(
        arrays.where, arrays.format, plain, arrays.notes, arrays.left_out
    )
    result.origin = dict(arrays.origin)
    return result


def _reshaped(entry, shape):
    return lambda: np.asarray(entry.read()).reshape(shape)


def _hugging(arrays, heads):
    """Rules and options of a transformers file."""
    config = hf.Config(arrays)
    depth = reading.blocks(arrays, r"h\.(\d+)\.")
    rows, width = arrays.shape("wte.weight", 2)
    biases = [n for n in arrays if re.match(r"h\.\d+\..*\.bias$", n)]
    biased = any(arrays.array(name).any() for name in biases)
    activation = config.get("activation_function", "quick_gelu")
    if activation != "quick_gelu":
        raise CheckpointError(
            f"{arrays.where}: image GPT has activation 'quick_gelu', got "
            f"{str(activation)[:40]!r}. Is it another model's config.json?"
        )
    options = {
        "width": width,
        "depth": depth,
        "heads": heads or config.whole("n_head"),
        "mlp_dim": arrays.shape("h.0.mlp.c_fc.weight", 2)[1],
        "colors": rows - 1,
        "epsilon": config.number("layer_norm_epsilon", 1e-5),
        "use_bias": biased,
        "positions": arrays.shape("wpe.weight", 2)[0],
    }
    return [*HUGGING_FACE, *numbered(HUGGING_FACE_BLOCK, i=range(depth))], options


def _tensorflow(arrays, heads):
    """Rules and options of arrays under the names of the TensorFlow checkpoint."""
    if "wte" not in arrays:
        raise CheckpointError(
            f"{arrays.where}: must hold an image GPT, got {listed(arrays)}. Is it the "
            "right file?"
        )
    depth = reading.blocks(arrays, r"h(\d+)/")
    colors, width = arrays.shape("wte", 2)
    options = {
        "width": width,
        "depth": depth,
        "heads": heads or arrays.shape("h0/attn/q_proj", 3)[0],
        "mlp_dim": arrays.shape("h0/mlp/c_fc/w", 2)[1],
        "colors": colors,
        "positions": arrays.shape("wpe", 2)[0],
    }
    return [*TENSORFLOW, *numbered(TENSORFLOW_BLOCK, i=range(depth))], options


def _fill(model, arrays, rules):
    """Load every weight; the palette keeps its values."""
    numbers = mapping.Numbers(model.heads, (1, 1), 3)
    skip = () if model.use_bias else ("h.*.bias",)

    def reason(path):
        return "not in any file" if path == "palette" else None

    mapping.fill(model, rules, arrays, numbers, reason, skip)
