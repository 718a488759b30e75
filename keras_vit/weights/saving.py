"""Writing of models in the formats of other code bases."""

import json
import pathlib

import keras
import numpy as np
from keras import ops

from keras_vit import ranges
from keras_vit.choices import check_choice
from keras_vit.errors import WeightsMismatch
from keras_vit.files import replacing
from keras_vit.layers import PatchEncoder, TransformerBlock
from keras_vit.types import FilePath
from keras_vit.weights import big_vision, bit, google, hf, mapping, timm
from keras_vit.weights.npz import write_npz
from keras_vit.weights.safetensors import write_safetensors

FORMATS = ("google_npz", "timm", "hf")
BIT_RULES = {"google_npz": bit.rules, "timm": bit.timm_rules}


def save_checkpoint(
    model: keras.Model,
    path: FilePath,
    format: str = "google_npz",
    overwrite: bool = False,
) -> pathlib.Path:
    """Write the weights with the names of another code base.

    The arrays are those that `from_checkpoint` reads, bit for bit. What they
    cannot tell (heads, GELU, epsilon, preprocessing, labels) is noted where
    other readers do not look: the archive's comment, the header's free text, or
    config.json.

    Args:
        model: made by this package.
        path: file; for "hf" a folder.
        format: "google_npz" (vit_jax; big_vision where the class token has no
            position; big_transfer), "timm" (.safetensors) or "hf" (folder with
            config.json and model.safetensors; not for BiT).
        overwrite: whether an existing file or folder may be replaced.

    Returns:
        `pathlib.Path` of what was written.

    Raises:
        ValueError: for an unknown format, or a model that is neither a Vision
            Transformer nor BiT.
        WeightsMismatch: when the format has no name for a part of the model.
        FileExistsError: when it exists and overwrite is False.
    """
    check_choice("format", format, FORMATS)
    facts = facts_of(model)
    arrays = dict(_arrays(model, _rules(format, facts), facts, format))
    metadata = _note(model, facts)
    with replacing(path, overwrite) as target:
        if format == "google_npz":
            write_npz(target, arrays.items(), metadata)
        elif format == "timm":
            text = {"format": "pt", "keras_vit": json.dumps(metadata)}
            write_safetensors(target, arrays, text)
        else:
            config = json.dumps(_hf_config(model, facts, metadata), indent=2)
            target.mkdir()
            write_safetensors(target / "model.safetensors", arrays, {"format": "pt"})
            (target / "config.json").write_text(config + "\n", "utf-8")
            preprocessor = json.dumps(_hf_preprocessor(model), indent=2)
            (target / "preprocessor_config.json").write_text(preprocessor, "utf-8")
    return target.parent.parent / target.name


def facts_of(model):
    """Read the architecture from the layers of a model.

    Returns:
        Fields of `Architecture`, or `BiTArchitecture`, that matter to a file.

    Raises:
        ValueError: when it is no Vision Transformer or BiT of this package.
    """
    residual = bit.facts_of(model)
    if residual is not None:
        return residual
    layers = {layer.name: layer for layer in model.layers}
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    encoder = layers.get("patch_encoder")
    if not blocks or not isinstance(encoder, PatchEncoder) or "patches" not in layers:
        raise ValueError(
            f"model: must be a Vision Transformer of keras_vit, got {model.name!r} "
            f"without one of patches, patch_encoder, blocks. Use model.save(path)."
        )
    block = blocks[0]
    pool = layers.get("pool")
    kinds = {"TokenPooling": "token", "MeanPooling": "gap", "AttentionPooling": "map"}
    hidden = layers.get("pre_logits")
    head = layers.get("head")
    return {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[3],
        "patch_size": tuple(layers["patches"].patch_size),
        "features": layers["patches"].input.shape[-1],
        "width": encoder.width,
        "depth": len(blocks),
        "heads": block.heads,
        "mlp_dim": block.mlp_dim,
        "activation": block.activation,
        "epsilon": block.epsilon,
        "qkv_bias": block.qkv_bias,
        "class_tokens": encoder.class_tokens,
        "registers": encoder.registers,
        "distilled": "head_dist" in layers,
        "position": encoder.position,
        "position_prefix": encoder.position_prefix,
        "pooling": None if pool is None else kinds[type(pool).__name__],
        "representation_size": None if hidden is None else hidden.units,
        "classes": None if head is None else head.units,
        "stem": _stem(layers),
    }


def _stem(layers):
    """Units per stage of a hybrid's ResNet, or None."""
    if "stem_root" not in layers:
        return None
    counts = {}
    for name in layers:
        if name.startswith("stage") and "_unit" in name:
            stage, unit = name.removeprefix("stage").split("_unit")
            counts[int(stage)] = max(counts.get(int(stage), 0), int(unit))
    return tuple(counts[stage] for stage in sorted(counts))


def _rules(format, facts):
    """Rules of a format, without those that the model does not need."""
    if "units" in facts:
        return BIT_RULES.get(format, lambda facts: [])(facts)
    if format == "timm":
        return timm.rules(facts)
    if format == "hf":
        return hf.rules(facts)
    prefix = facts["class_tokens"] + facts["registers"]
    at_top = prefix and not facts["position_prefix"]
    return google.rules(facts, big_vision.POSITION if at_top else google.POSITION)


def _arrays(model, rules, facts, format):
    """(file name, array) of every weight, in the order of the table."""
    weights = {weight.path: weight for weight in model.weights}
    keys = ("heads", "patch_size", "features")
    numbers = mapping.Numbers(*(facts.get(key) for key in keys))
    written, left = [], set(weights)
    for rule in rules:
        if set(rule.models) <= weights.keys():
            values = [ops.convert_to_numpy(weights[path]) for path in rule.models]
            values = [np.asarray(value, "float32") for value in values]
            found = mapping.disassemble(rule, values, numbers)
            written += zip(rule.files, found, strict=True)
            left -= set(rule.models)
    if left or _unsaid(format, facts):
        names = sorted(left) or _unsaid(format, facts)
        raise WeightsMismatch(
            f"{format}: has no name for {', '.join(names[:6])}"
            f"{f' and {len(names) - 6} more' if len(names) > 6 else ''}, got "
            f"{model.name!r}. Use another of {', '.join(FORMATS)}, or model.save(path)."
        )
    return written


def _unsaid(format, facts):
    """Parts without weights that a format cannot store."""
    if "units" in facts:
        return []
    positions = {"google_npz": ("learned", "sincos2d")}.get(format, ("learned",))
    pooled = {"hf": ("token", None)}.get(format, ("token", "gap", "map", None))
    parts = []
    if facts["position"] not in positions:
        parts.append(f"position={facts['position']!r}")
    if facts["pooling"] not in pooled:
        parts.append(f"pooling={facts['pooling']!r}")
    if format == "hf" and not facts["position_prefix"]:
        parts.append("position_prefix=False")
    return parts


def _note(model, facts):
    """Metadata that the arrays do not tell, as plain values."""
    keys = ("heads", "activation", "epsilon", "pooling")
    prepared = getattr(model, "preprocessing", None)
    return {
        **{key: facts[key] for key in keys if key in facts},
        "image_size": list(facts["image_size"]),
        "include_top": facts["classes"] is not None,
        "preprocessing": None if prepared is None else prepared.get_config(),
        "labels": getattr(model, "labels", None),
    }


def _hf_config(model, facts, metadata):
    """config.json as transformers writes it, with our metadata."""
    labels = model.labels or [f"LABEL_{k}" for k in range(facts["classes"] or 2)]
    height, width = facts["image_size"]
    rows, columns = facts["patch_size"]
    model_name = "DeiT" if facts["distilled"] else "ViT"
    tail = "ForImageClassificationWithTeacher" if facts["distilled"] else None
    tail = tail or ("ForImageClassification" if facts["classes"] else "Model")
    return {
        "architectures": [model_name + tail],
        "model_type": model_name.lower(),
        "hidden_size": facts["width"],
        "num_hidden_layers": facts["depth"],
        "num_attention_heads": facts["heads"],
        "intermediate_size": facts["mlp_dim"],
        "hidden_act": "gelu" if facts["activation"] == "gelu" else "gelu_pytorch_tanh",
        "layer_norm_eps": facts["epsilon"],
        "image_size": height if height == width else [height, width],
        "patch_size": rows if rows == columns else [rows, columns],
        "num_channels": facts["channels"],
        "qkv_bias": facts["qkv_bias"],
        "id2label": {str(k): name for k, name in enumerate(labels)},
        "label2id": {name: k for k, name in enumerate(labels)},
        "keras_vit": {**metadata, "labels": None},
    }


def _hf_preprocessor(model):
    """preprocessor_config.json; the exact preprocessing is in our metadata."""
    prepared = model.preprocessing
    plain = prepared.mode == "none"
    rows = ranges.in_channels(prepared.range, model.input_shape[-1])
    mean, std = rows or ((0.0,) * 3, (1.0,) * 3)
    height, width = prepared.image_size
    filters = {"nearest": 0, "bilinear": 2, "bicubic": 3, "area": 4}
    return {
        "do_resize": True,
        "do_rescale": not plain,
        "do_normalize": not plain,
        "image_mean": list(mean),
        "image_std": list(std),
        "resample": filters[prepared.interpolation],
        "size": {"height": height, "width": width},
    }
