"""Known architectures that are not read, recognised by names or config.

A file whose names look like those of a Vision Transformer can hold another network,
and would then load wrong or halfway. Whoever is recognised here is refused by name.
"""

import re

from keras_vit.errors import CheckpointError

POST_NORM = "a ViT whose norms stand behind the layers (timm's rpn)"
RELATIVE = "a ViT with relative positions (timm's relpos)"
ROTARY = "a ViT with rotary positions"
PARALLEL = "a ViT with parallel blocks"
QUICK = "CLIP with QuickGELU, x * sigmoid(1.702 x)"
PE = "Perception Encoder (PE)"
CLIP = "CLIP's image and text encoders"
SIGLIP = "SigLIP"
SWIN = "Swin Transformer"
CHUNKS = "DINOv2 with blocks in chunks, as FSDP saves it"
GIANT = "DINOv2 with SwiGLU (giant)"

# Family: patterns of which every one must be found among the names, wherever they
# begin. The first row that fits is taken, so special ones stand in front.
NAMES = (
    ("a model with adapters of PEFT that are not merged", r"\.lora_[AB]\."),
    ("a model quantized by bitsandbytes", r"\.weight\.(SCB|absmax|quant_map)$"),
    (SIGLIP + " of open_clip", r"visual\.trunk\.", r"text\."),
    (PE, r"attn_pool\.probe$", r"(^|\.)conv1\.weight$"),
    (PE, r"transformer\.resblocks\.\d+\.ls_1\.gamma"),
    (CLIP, r"(visual\.)?transformer\.resblocks\.0\.attn\.in_proj_weight"),
    (CLIP, r"pre_layrnorm\.weight"),
    (SIGLIP, r"embeddings\.patch_embedding\.weight", r"encoder\.layers\.0\.self_attn"),
    ("AIMv2", r"embeddings\.rms_norm\.weight"),
    ("AIMv2", r"encoder\.layers\.0\.ffn\.gate_proj"),
    ("AIMv2", r"patchifier\.proj\.weight"),
    ("DINOv3", r"(storage_tokens|\.bias_mask|rope_embed\.periods)$"),
    ("DINOv3", r"embeddings\.patch_embeddings\.weight", r"embeddings\.register_tokens"),
    ("DINOv2", r"layer_scale1\.lambda1"),
    ("DINOv2 with registers", r"(^|\.)register_tokens$", r"(^|\.)mask_token$"),
    ("BEiT", r"\.lambda_1$", r"embeddings\.cls_token"),
    ("the image encoder of SAM or ViTDet", r"\.attn\.rel_pos_h$"),
    ("MViT", r"\.attn\.(pool_q|norm_q|pool_k)\b"),
    ("Swin Transformer V2", r"cpb_mlp|continuous_position_bias_mlp"),
    ("MaxViT", r"\.attn_(block|grid)\.|\.(window|grid)_attention\."),
    (RELATIVE, r"rel_pos\.(mlp|relative)"),
    (SWIN, r"(layers|stages|features)\.\d+\..*relative_position_bias_table"),
    (SWIN, r"(^|\.)layers\.\d+\.blocks\.\d+\.attn\.qkv\.weight"),
    ("BEiT", r"relative_position_bias_table"),
    ("AIMv2", r"mlp\.fc1_g\.weight", r"patch_embed\.norm\.weight"),
    ("EVA-02", r"mlp\.fc1_g\.weight", r"attn\.(q_bias|v_bias|q_proj)"),
    ("DINOv3 with SwiGLU", r"mlp\.fc1_g\.weight", r"reg_token$"),
    ("a ViT with a gated MLP, such as EVA-02", r"mlp\.fc1_g\.weight"),
    ("EVA-02", r"mlp\.(w12|w1)\.weight", r"(q_bias|inner_attn_ln|ffn_ln)"),
    (GIANT, r"mlp\.(w12|w1)\.weight"),
    ("DINOv3", r"attn\.q_bias$", r"reg_token$"),
    ("EVA", r"attn\.q_bias$"),
    (ROTARY, r"(^|\.)rope\.|freqs_(cos|sin|cis)$"),
    (PARALLEL, r"(^|\.)blocks\.\d+\.(in_proj\.weight|attns\.|ffns\.)"),
    (CHUNKS, r"(^|\.)blocks\.\d+\.\d+\.norm1\.weight", r"mask_token"),
    ("CaiT", r"blocks_token_only\."),
    ("XCiT", r"cls_attn_blocks\.|local_mp\."),
    ("ConViT", r"attn\.gating_param$"),
    ("TNT", r"pixel_embed\.|inner_pos$"),
    ("CrossViT", r"(^|\.)blocks\.\d+\.fusion\."),
    ("Twins", r"pos_block\.\d+\."),
    ("PVT", r"(^|\.)patch_embed\d+\.proj\.weight", r"(^|\.)block\d+\.\d+\.attn\."),
    ("PVT", r"stages\.\d+\.blocks\.\d+\.attn\.(sr|kv|q)\.weight"),
    ("PVT", r"\.sequence_reduction\."),
    ("SegFormer", r"segformer\.encoder\.|patch_embeddings\.0\.proj\.weight"),
    ("Hiera", r"(^|\.)blocks\.\d+\.proj\.weight"),
    ("DaViT", r"\.(window_attn|channel_attn|channel_block|spatial_block|cpe1)\."),
    ("TinyViT", r"attention_biases$", r"\.local_conv\."),
    ("LeViT", r"attention_bias(es|_idxs)$"),
    ("MobileViT", r"mobilevit\.|\.conv_kxk\..*|\.conv_fusion\."),
    ("PiT", r"transformers\.\d+\.blocks\.\d+\."),
    ("CoaT", r"serial_blocks\d+\."),
    ("NesT", r"levels\.\d+\.transformer_encoder\."),
    ("Focal Network", r"\.modulation\."),
    ("VOLO", r"outlook"),
    ("FastViT", r"\.token_mixer\.(mixer|norm)\.|reparam_conv"),
    ("MetaFormer", r"\.token_mixer\.|res_scale1"),
    ("MLP-Mixer", r"\.mlp_tokens\."),
    ("ResMLP", r"\.linear_tokens\."),
    ("ConvNeXt V2", r"\.grn\."),
    ("ConvNeXt", r"\.conv_dw\.weight", r"stages\.\d+\.blocks\.\d+\.(gamma|mlp)"),
    ("ConvNeXt", r"(\.dwconv\.weight|convnext\w*\.encoder\.stages)"),
    ("ConvNeXt", r"features\.\d+\.\d+\.layer_scale$"),
    ("torchvision's ViT", r"encoder\.layers\.encoder_layer_0\."),
    ("vit-pytorch's ViT", r"to_patch_embedding\."),
    ("a compact transformer (CCT)", r"tokenizer\.conv_layers\."),
    ("EfficientNet or MobileNet", r"(^|\.)conv_stem\.weight"),
    ("EfficientNet or MobileNet", r"features\.\d+\.\d+\.block\."),
    ("EfficientNet or MobileNet", r"_blocks\.0\._depthwise"),
    ("RegNet", r"(^|\.)s1\.b1\.conv1\.|trunk_output\.block1"),
    ("a ResNet with batch norms", r"stages\.0\.blocks\.0\.norm1\.running_mean"),
    ("ResNet", r"(^|\.)layer1\.0\.conv1\.weight"),
    ("ResNet", r"resnet\.encoder\.stages\."),
    ("DenseNet", r"denseblock1\.denselayer1"),
    ("VGG", r"(^|\.)features\.0\.weight", r"(^|\.)classifier\.6\.weight"),
    ("a text model (BERT or its like)", r"word_embeddings\.weight"),
    ("a detector (YOLO)", r"(^|\.)model\.0\.conv\.weight"),
    (PE, r"(^|\.)norm_pre\.weight$", r"attn_pool\.latent$"),
    (PE, r"(^|\.)norm_pre\.weight$", r"(\.ls1\.gamma|gamma_1)$"),
)  # fmt: skip

# First word of a name of timm, or a model_type of transformers -> family. Digits and
# what stands behind a dash are tried without.
WORDS = {
    "aimv2": "AIMv2", "aimv2_vision_model": "AIMv2", "beit": "BEiT",
    "data2vec-vision": "data2vec", "bit": "BiT under the names of transformers",
    "cait": "CaiT", "clip": "CLIP", "clip_vision_model": "CLIP", "coat": "CoaT",
    "coatnet": "CoAtNet", "convit": "ConViT", "convmixer": "ConvMixer",
    "convnext": "ConvNeXt", "convnextv2": "ConvNeXt V2", "crossvit": "CrossViT",
    "cvt": "CvT", "davit": "DaViT", "densenet": "DenseNet", "dinov2": "DINOv2",
    "dinov2_with_registers": "DINOv2 with registers", "dinov3_vit": "DINOv3",
    "dinov3_convnext": "DINOv3 in ConvNeXt", "edgenext": "EdgeNeXt",
    "efficientformer": "EfficientFormer", "efficientnet": "EfficientNet",
    "efficientvit": "EfficientViT", "eva": "EVA", "eva02": "EVA-02",
    "fastvit": "FastViT", "focalnet": "Focal Network", "gcvit": "GC ViT",
    "hiera": "Hiera", "hieradet": "Hiera", "ijepa": "I-JEPA",
    "inception": "Inception", "levit": "LeViT", "maxvit": "MaxViT",
    "maxxvit": "MaxViT", "mixer": "MLP-Mixer", "mobilenet": "MobileNet",
    "mobilenetv3": "MobileNet", "mobilevit": "MobileViT", "mobilevitv2": "MobileViT",
    "mobileone": "MobileOne", "mvitv2": "MViT", "naflexvit": "NaFlexViT",
    "nest": "NesT", "nextvit": "NextViT", "pit": "PiT", "poolformer": "MetaFormer",
    "caformer": "MetaFormer", "convformer": "MetaFormer", "pvt": "PVT",
    "pvt_v2": "PVT", "regnet": "RegNet", "repvit": "RepViT", "resmlp": "ResMLP",
    "resnet": "ResNet", "resnext": "ResNet", "rexnet": "ReXNet",
    "samvit": "SAM's image encoder", "sam": "SAM", "segformer": "SegFormer",
    "sequencer2d": "Sequencer", "siglip": SIGLIP, "siglip2": SIGLIP,
    "siglip_vision_model": SIGLIP, "swin": SWIN, "swinv2": "Swin Transformer V2",
    "tiny": "TinyViT", "tnt": "TNT", "tresnet": "ResNet", "twins": "Twins",
    "vgg": "VGG", "visformer": "Visformer", "vitamin": "ViTamin",
    "vit_hybrid": "a hybrid under the names of transformers", "vivit": "ViViT",
    "videomae": "VideoMAE", "volo": "VOLO", "wide": "ResNet", "xcit": "XCiT",
    "yolos": "YOLOS", "bert": "a text model (BERT)", "vitdet": "ViTDet",
    "vitmatte": "ViTMatte", "vitpose": "ViTPose",
    "vision-encoder-decoder": "an image captioner", "detr": "DETR", "dpt": "DPT",
}  # fmt: skip
# Names of timm that begin as a plain ViT's do and mean something else.
PARTS = (
    (r"_rpn_", POST_NORM), (r"^vit_s?relpos_", RELATIVE), (r"quickgelu", QUICK),
    (r"_pe_(core|lang|spatial)_", PE), (r"_dinov3", "DINOv3"), (r"_rope", ROTARY),
    (r"^vit_(p|d|dp)(wee|little)_|_\d+x2_|_xp_", PARALLEL),
    (r"_mci_|_mobileclip", "MobileCLIP's convolutional hybrid"),
    (r"giant_patch14.*_dinov2", GIANT), (r"_aimv2", "AIMv2"), (r"_eupe", "EUPE"),
)  # fmt: skip
PLAIN = re.compile(r"(test_)?(vit|deit|deit3|flexivit)_\w+")
RESIDUAL = re.compile(r"resnetv2_\w+")
MODEL_TYPES = ("vit", "deit", "vit_mae", "vit_msn", "imagegpt")


def family(arrays):
    """Family of a file that is known and not read, or None.

    Args:
        arrays: `ArrayFile`, its configuration among its notes.
    """
    return _by_config(arrays.notes.get("config") or {}) or by_names(arrays)


def by_names(names):
    """Family of array names, or None."""
    text = "\n".join(names)
    for found, *patterns in NAMES:
        if all(re.search(pattern, text, re.MULTILINE) for pattern in patterns):
            return found
    return None


def _by_config(config):
    """Family that a config names, if it is not read."""
    name = config.get("architecture")
    if isinstance(name, str):
        name = name.partition(".")[0].rpartition("/")[2]
        part = next((model_type for p, model_type in PARTS if re.search(p, name)), None)
        if part is None and (PLAIN.fullmatch(name) or RESIDUAL.fullmatch(name)):
            return None
        return f"{part or _word(name)} (architecture {name!r})"
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type not in MODEL_TYPES:
        return f"{_word(model_type)} (model_type {model_type!r})"
    return None


def _word(name):
    """Family of a name by its first word."""
    first = re.split(r"[_.-]", name)[0]
    tries = (name, first, re.sub(r"v?\d+\w*$", "", first))
    return next((WORDS[t] for t in tries if t in WORDS), "an unknown architecture")


def refuse(where, family_name):
    """Raise the error that names the family.

    Raises:
        CheckpointError: always.
    """
    raise CheckpointError(
        f"{where}: must hold a plain Vision Transformer (ViT, DeiT, DeiT-III, AugReg, "
        f"MAE, a hybrid) or Big Transfer, got {family_name}, which is another network "
        "and is not read. Run it with the library that it came from, or choose a name "
        "of keras_vit.list_checkpoints()."
    )
