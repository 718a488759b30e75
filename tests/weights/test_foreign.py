"""Other architectures are refused by their names, whatever their files look like."""

import json

import numpy as np
import pytest
from keras import ops

from keras_vit import weights
from keras_vit.errors import CheckpointError
from keras_vit.weights import unsupported
from keras_vit.weights.formats import open_checkpoint


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("Swin", ["layers.0.blocks.0.attn.relative_position_bias_table"]),
        ("Swin", ["swin.encoder.layers.0.blocks.1.attention.self.relative_position_b"
                  "ias_table"]),
        ("Swin Transformer V2", ["layers.0.blocks.0.attn.cpb_mlp.0.weight"]),
        ("BEiT", ["blocks.0.attn.relative_position_bias_table"]),
        ("relative", ["blocks.0.attn.rel_pos.mlp.fc1.weight"]),
        ("CaiT", ["blocks.0.attn.proj_l.weight", "blocks_token_only.0.norm1.weight"]),
        ("EVA", ["module.blocks.0.attn.q_bias"]),
        ("EVA-02", ["blocks.0.mlp.fc1_g.weight", "blocks.0.attn.q_proj.weight"]),
        ("DINOv3", ["storage_tokens"]),
        ("SwiGLU", ["blocks.0.mlp.w12.weight"]),
        ("Hiera", ["encoder.blocks.2.proj.weight"]),
        ("ConvNeXt", ["stages.0.blocks.0.conv_dw.weight", "stages.0.blocks.0.gamma"]),
        ("ConvNeXt", ["stages.0.0.dwconv.weight"]),
        ("PVT", ["patch_embed1.proj.weight", "block1.0.attn.q.weight"]),
        ("MaxViT", ["stages.0.blocks.0.attn_grid.attn.qkv.weight"]),
        ("DaViT", ["stages.0.blocks.0.0.cpe1.proj.weight"]),
        ("LeViT", ["stages.0.blocks.0.attn.attention_biases"]),
        ("MobileViT", ["stages.2.1.conv_kxk.conv.weight"]),
        ("ResNet", ["layer1.0.conv1.weight"]),
        ("EfficientNet", ["conv_stem.weight", "blocks.0.0.conv_dw.weight"]),
        ("Perception", ["norm_pre.weight", "attn_pool.latent"]),
        ("CLIP", ["visual.transformer.resblocks.0.attn.in_proj_weight"]),
        ("torchvision", ["encoder.layers.encoder_layer_0.ln_1.weight"]),
        ("PEFT", ["base.blocks.0.attn.qkv.lora_A.default.weight"]),
    ],
)  # fmt: skip
def test_families_are_known_by_their_names(family, names):
    """Names of arrays alone tell the family, under any prefix."""
    for prefix in ("", "module.model."):
        assert family in str(unsupported.by_names([prefix + name for name in names]))


def test_plain_transformers_are_none_of_them(tiny, tmp_path):
    """What this package writes in each format is not taken for another network."""
    model = tiny(registers=2, layer_scale=0.1, depth=1)
    path = weights.save_checkpoint(model, tmp_path / "x.safetensors", "timm")
    assert unsupported.by_names(open_checkpoint(path)) is None
    path = weights.save_checkpoint(tiny(depth=1), tmp_path / "hf", "hf")
    assert unsupported.by_names(open_checkpoint(path)) is None


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"architecture": "vit_base_patch16_rpn_224"}, "behind the layers"),
        ({"architecture": "vit_base_patch16_clip_quickgelu_224.openai"}, "QuickGELU"),
        ({"architecture": "vit_pe_core_base_patch16_224"}, "Perception Encoder"),
        ({"architecture": "eva_giant_patch14_224"}, "EVA"),
        ({"architecture": "cait_s24_224"}, "CaiT"),
        ({"architecture": "convnextv2_tiny"}, "ConvNeXt V2"),
        ({"architecture": "foonet_b0"}, "unknown architecture .*'foonet_b0'"),
        ({"model_type": "swin"}, "Swin Transformer"),
        ({"model_type": "brandnew"}, "unknown architecture .*'brandnew'"),
    ],
)
def test_a_named_architecture_is_believed(config, family, tiny, tmp_path):
    """A configuration beside arrays that would fit decides; the error names it."""
    path = weights.save_checkpoint(tiny(depth=1), tmp_path / "x.safetensors", "timm")
    arrays = open_checkpoint(path)
    arrays.notes = {"config": config}

    with pytest.raises(CheckpointError, match=family):
        weights.reading.family_of(arrays)


@pytest.mark.parametrize(
    "name", ["vit_x", "deit3_base_patch16_224.fb_in1k", "timm/vit_tiny_patch16_224"]
)
def test_plain_names_pass(name):
    """What begins as timm's plain transformers do is read."""
    assert unsupported._by_config({"architecture": name}) is None


def test_post_norm_without_a_word_is_refused(tiny, tmp_path):
    """The arrays of timm's rpn are those of a plain model: only a config tells."""
    model = tiny(depth=1, pooling="gap", qkv_bias=False)
    path = weights.save_checkpoint(model, tmp_path / "x.safetensors", "timm")
    arrays = open_checkpoint(path)
    arrays.notes = {}

    with pytest.raises(CheckpointError, match="rpn models have, .*config.json"):
        weights.reading.read_facts(arrays, weights.facts.Request(heads=2))


def test_show_names_a_foreign_family(tmp_path):
    """A file that is not read is described all the same."""
    from keras_vit.weights.safetensors import write_safetensors

    path = tmp_path / "swin.safetensors"
    write_safetensors(path, {"layers.0.blocks.0.attn.qkv.weight": np.ones((3, 1))}, {})

    found = weights.describe(path)

    assert "Swin Transformer" == found.family and 3 == found.values


def recorded(shared):
    """(path, recorded outputs) of every file of other families."""
    folder = shared / "fixtures" / "families"
    endings = (".pth", ".pt", ".tar", ".ckpt", ".safetensors")
    for path in sorted(folder.iterdir()):
        if path.name.endswith("_hub") or path.suffix in endings:
            name = path.name.removesuffix("_hub").split(".")[0]
            start = "nesting" if name.startswith("nesting") else name
            yield path, folder / f"{start}.expected.npz"


@pytest.mark.slow
def test_recorded_files_are_right_or_refused(shared):
    """Whatever loads gives the answers of its reference; the rest says what it is."""
    loaded = []
    for path, expected in recorded(shared):
        try:
            config = {} if path.name.startswith("timm") else {"heads": 3}
            model = weights.from_checkpoint(path, verbose=0, **config)
        except (CheckpointError, TypeError) as err:
            assert "incomplete" not in str(err) and "skip" not in str(err), path
            continue
        table = np.load(expected)
        got = ops.convert_to_numpy(model(table["images"]))
        pairs = [table[k] for k in table.files if table[k].shape == got.shape]
        nearest = min(np.abs(got - wanted).max() for wanted in pairs)
        assert 1e-5 * np.abs(got).max() > nearest, path
        loaded.append(path.name)
    assert {"timm_clip_hub", "timm_siglip_tanh_hub", "facebook_dinov2.pth"} < {*loaded}
    assert "timm_clip_quickgelu_hub" not in loaded


def test_config_tells_heads_pooling_and_gelu(tiny, tmp_path):
    """timm's arguments are read; those that make another network are refused."""
    path = weights.save_checkpoint(tiny(depth=1), tmp_path / "x.safetensors", "timm")
    arrays = open_checkpoint(path)

    def facts(**args):
        config = {"architecture": "vit_tiny_patch16_224", "model_args": args}
        arrays.notes = {"config": json.loads(json.dumps(config))}
        found = weights.reading.read_facts(arrays, weights.facts.Request())
        return found.facts.options

    assert 4 == facts(num_heads=4)["heads"]
    assert "gap" == facts(num_heads=2, global_pool="avg")["pooling"]
    assert "gelu_tanh" == facts(num_heads=2, act_layer="gelu_tanh")["activation"]
    for wrong in ({"act_layer": "quick_gelu"}, {"block_fn": "ResPostBlock"}):
        with pytest.raises(CheckpointError, match=next(iter(wrong))):
            facts(num_heads=2, **wrong)
