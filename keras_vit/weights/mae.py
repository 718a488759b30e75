"""Weights of masked autoencoders with decoder: the authors' and transformers'."""

import re

from keras_vit.errors import CheckpointError
from keras_vit.layers.patches import pair as sides
from keras_vit.weights import checkpoint_facts as reading
from keras_vit.weights import hf, loading, mapping, timm
from keras_vit.weights import reading as file_reading
from keras_vit.weights.arrays import ArrayFile
from keras_vit.weights.checkpoint import locate
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.mapping import Rule

# Of a decoder: what its blocks are called, and what the encoder's are.
BLOCKS = (("decoder_blocks.", "blocks."), ("decoder_layers.", "encoder.layer."))
PART = re.compile(r"(?:.*\.)?(decoder_.+|mask_token)$")
PUBLISHED = {512: 16}  # width -> heads


def load(model_class, path, heads=None, image_size=None, decoder_heads=None, **wishes):
    """Build a masked autoencoder and load its weights.

    Args:
        model_class: `MaskedAutoencoder`, or a class derived from it.
        path: as in `from_checkpoint`.
        heads, decoder_heads: where the file cannot tell.
        image_size: another side in px, or (H, W).
        **wishes: further options of `MaskedAutoencoder`.

    Returns:
        `MaskedAutoencoder`.

    Raises:
        CheckpointError: for a file without a decoder, or one that is damaged.
        WeightsMismatch: when arrays have no counterpart.
    """
    size = None if image_size is None else sides(image_size, "image_size")
    arrays = open_checkpoint(locate(path)[0])
    opened = file_reading.read_facts(arrays, reading.Request(heads, size))
    decoder = _decoder_of(arrays, opened.family)
    numbers = _numbers(decoder, opened, decoder_heads)
    arch, _ = loading.architecture(opened, reading.Request(heads, size))
    names = ("width", "depth", "heads", "mlp_dim", "channels", "activation", "epsilon")
    model = model_class(
        image_size=arch.image_size,
        patch_size=arch.patch_size,
        preprocessing=arch.preprocessing,
        **{name: getattr(arch, name) for name in names},
        **{**numbers, **wishes},
    )
    plan = loading.match(opened, model.arch)
    loading.fill(model.encoder, opened, plan, model.arch)
    _fill(model, decoder, opened.family)
    return model


def _decoder_of(arrays, family):
    """Arrays of the decoder, its blocks under the encoder's names."""
    renamed = {}
    for name, entry in arrays.items():
        match = PART.match(name)
        if match is not None:
            renamed[_canonical(match[1], family)] = entry
    if not any(name.startswith("decoder_embed") for name in renamed):
        raise CheckpointError(
            f"{arrays.where}: must hold a decoder, got an encoder alone. Use "
            "keras_vit.from_checkpoint, or the file whose name begins with "
            "mae_visualize."
        )
    return ArrayFile(arrays.where, arrays.format, renamed, arrays.notes)


def _canonical(name, family):
    for theirs, ours in BLOCKS:
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            if family is hf.FAMILY:
                for old, new in hf.SPELLINGS:
                    name = re.sub(old, new, name)
    return name


def _numbers(decoder, opened, heads):
    """Options of the decoder, from shapes and configuration."""
    config = hf.Config(opened.arrays)
    width = decoder.shape("decoder_embed.weight", 2)[0]
    hugging = opened.family is hf.FAMILY
    first = "encoder.layer.0.intermediate.dense" if hugging else "blocks.0.mlp.fc1"
    if heads is None and hugging:
        heads = config.whole("decoder_num_attention_heads")
    heads = heads or PUBLISHED.get(width)
    if heads is None:
        raise CheckpointError(
            f"{decoder.where}: does not tell the number of heads of its decoder, got "
            f"width={width}. Pass decoder_heads={max(1, width // 32)}, for example."
        )
    return {
        "decoder_width": width,
        "decoder_depth": reading.blocks(decoder, hf.BLOCK if hugging else timm.BLOCK),
        "decoder_heads": heads,
        "decoder_mlp_dim": decoder.shape(f"{first}.weight", 2)[0],
        "mask_ratio": config.number("mask_ratio", 0.75),
        "normalise_pixels": bool(config.get("norm_pix_loss", True)),
    }


def _rules(family, depth):
    """Rules of the decoder's names."""
    blocks = [
        rule._replace(
            models=tuple(p.replace("block_", "decoder_") for p in rule.models)
        )
        for rule in family.block_rules()
    ]
    linear = (
        Rule(("decoder_embed",), ("embed",)),
        Rule(("decoder_pred",), ("pixels",)),
    )
    return [
        Rule(("mask_token",), ("mask_token",)),
        Rule(("decoder_pos_embed",), ("decoder_position",)),
        *mapping.pair(linear, timm.LINEAR),
        *mapping.pair([Rule(("decoder_norm",), ("decoder_norm",))], timm.NORM),
        *mapping.numbered(blocks, i=range(depth)),
    ]


def _fill(model, decoder, family):
    """Assign the decoder's arrays; positions of another grid stay computed."""
    same = decoder.shape("decoder_pos_embed", 3) == tuple(model.decoder_position.shape)
    table = _rules(hf if family is hf.FAMILY else timm, model.decoder_depth)
    arch = model.arch
    numbers = mapping.Numbers(model.decoder_heads, arch.patch_size, arch.channels)
    skip = () if same else ("decoder_position",)
    mapping.fill(model, table, decoder, numbers, skip=skip)
