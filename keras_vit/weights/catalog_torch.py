"""Checkpoints of PyTorch's world: DeiT, DeiT-III, MAE, and the Hugging Face hub.

Scores are published ones, measured by the source named in the row.
"""

from keras_vit.weights.checkpoint_row import Checkpoint

FACEBOOK = "https://dl.fbaipublicfiles.com"
HUB = "https://huggingface.co"
APACHE = "Apache-2.0"
MAE_LICENCE = "CC-BY-NC-4.0"

# fmt: off
# DeiT, arXiv:2012.12877. The digits begin the file's SHA-256.
DEIT = (
    # variant, tag, file, px, top-1 of the README
    ("ViT_Ti16",  "deit_in1k", "deit_tiny_patch16_224-a1311bcf",             224, 72.2),
    ("ViT_S16",   "deit_in1k", "deit_small_patch16_224-cd65a155",            224, 79.9),
    ("ViT_B16",   "deit_in1k", "deit_base_patch16_224-b5f2ef4d",             224, 81.8),
    ("ViT_B16",   "deit_in1k", "deit_base_patch16_384-8de9b5d1",             384, 82.9),
    ("DeiT_Ti16", "distilled_in1k", "deit_tiny_distilled_patch16_224-b40b3cf7",
     224, 74.5),
    ("DeiT_S16",  "distilled_in1k", "deit_small_distilled_patch16_224-649709d9",
     224, 81.2),
    ("DeiT_B16",  "distilled_in1k", "deit_base_distilled_patch16_224-df68dfff",
     224, 83.4),
    ("DeiT_B16",  "distilled_in1k", "deit_base_distilled_patch16_384-d0272ac0",
     384, 85.2),
)
# DeiT-III, arXiv:2204.07118.
DEIT3 = (
    # variant, file, px, pre-training, top-1 of the README
    ("ViT_S16", "deit_3_small_224_1k",     224, "1k",  81.4),
    ("ViT_S16", "deit_3_small_384_1k",     384, "1k",  83.4),
    ("ViT_B16", "deit_3_base_224_1k",      224, "1k",  83.8),
    ("ViT_B16", "deit_3_base_384_1k",      384, "1k",  85.0),
    ("ViT_L16", "deit_3_large_224_1k",     224, "1k",  84.9),
    ("ViT_L16", "deit_3_large_384_1k",     384, "1k",  85.8),
    ("ViT_H14", "deit_3_huge_224_1k",      224, "1k",  85.2),
    ("ViT_S16", "deit_3_small_224_21k",    224, "21k", 83.1),
    ("ViT_S16", "deit_3_small_384_21k",    384, "21k", 84.8),
    ("ViT_B16", "deit_3_base_224_21k",     224, "21k", 85.7),
    ("ViT_B16", "deit_3_base_384_21k",     384, "21k", 86.7),
    ("ViT_L16", "deit_3_large_224_21k",    224, "21k", 87.0),
    ("ViT_L16", "deit_3_large_384_21k",    384, "21k", 87.7),
    ("ViT_H14", "deit_3_huge_224_21k_v1",  224, "21k", 87.2),
)
# MAE, arXiv:2111.06377: encoders, and what they became by fine-tuning.
MAE = (
    # variant, size, top-1 fine-tuned
    ("ViT_B16", "base", 83.664), ("ViT_L16", "large", 85.952),
    ("ViT_H14", "huge", 86.928),
)
# Hugging Face folders: config.json, preprocessor_config.json, model.safetensors.
FOLDERS = (
    # variant, tag, repository, classes
    ("ViT_B16", "hf_in21k_ft_in1k", "google/vit-base-patch16-224", 1000),
)
# fmt: on


def rows():
    """Every row of this file, as `Checkpoint`."""
    return [*_deit(), *_deit3(), *_mae(), *_folders()]


def _facebook(variant, tag, px, classes, url, score, source):
    how = "facebook" if px <= 224 else "facebook_full"
    return Checkpoint(variant, tag, px, classes, (url,), how, score, source, APACHE)


def _deit():
    for variant, tag, file, px, score in DEIT:
        url = f"{FACEBOOK}/deit/{file}.pth"
        row = _facebook(variant, tag, px, 1000, url, score, "DeiT README")
        yield row._replace(preparation="facebook")


def _deit3():
    for variant, file, px, data, score in DEIT3:
        url = f"{FACEBOOK}/deit/{file}.pth"
        tag = "deit3_in1k" if data == "1k" else "deit3_in21k_ft_in1k"
        row = _facebook(variant, tag, px, 1000, url, score, "DeiT-III README")
        yield row._replace(preparation="facebook_full")


def _mae():
    for variant, size, score in MAE:
        url = f"{FACEBOOK}/mae/pretrain/mae_pretrain_vit_{size}.pth"
        row = _facebook(variant, "mae_in1k", 224, 0, url, None, "")
        yield row._replace(licence=MAE_LICENCE)
        url = f"{FACEBOOK}/mae/finetune/mae_finetuned_vit_{size}.pth"
        source = "MAE FINETUNE.md"
        row = _facebook(variant, "mae_ft_in1k", 224, 1000, url, score, source)
        yield row._replace(licence=MAE_LICENCE)


def _folders():
    names = ("model.safetensors", "config.json", "preprocessor_config.json")
    how = "hugging_face"
    for variant, tag, repository, classes in FOLDERS:
        files = tuple(f"{HUB}/{repository}/resolve/main/{name}" for name in names)
        yield Checkpoint(variant, tag, 224, classes, files, how, None, "", APACHE)
