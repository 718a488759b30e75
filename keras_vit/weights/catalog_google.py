"""Checkpoints of Google: the ViT paper, AugReg, SAM, big_vision, FlexiViT, its zoo.

Scores are published ones, measured by the source named in the row.
"""

from keras_vit.weights.checkpoint_row import Checkpoint

VIT = "https://storage.googleapis.com/vit_models"
BIG = "https://storage.googleapis.com/big_vision"
APACHE = "Apache-2.0"
README = "vision_transformer README"
TIMM = "timm results"
IN21K, IN1K = 21_843, 1_000

# fmt: off
# Original, arXiv:2010.11929. The head of the in21k files is zero: features only.
ORIGINAL = (
    # variant, file
    ("ViT_B16", "ViT-B_16"), ("ViT_B32", "ViT-B_32"), ("ViT_B8", "ViT-B_8"),
    ("ViT_L16", "ViT-L_16"), ("ViT_L32", "ViT-L_32"), ("ViT_H14", "ViT-H_14"),
    ("R50_B16", "R50%2BViT-B_16"), ("R26_B32", "R26%2BViT-B_32"),
    ("R50_L32", "R50%2BViT-L_32"),
)
ORIGINAL_FT = (
    # variant, file, px, top-1, source
    ("ViT_B16", "ViT-B_16-224",     224, 81.2,   README),
    ("ViT_L16", "ViT-L_16-224",     224, 82.7,   README),
    ("ViT_B16", "ViT-B_16",         384, 84.212, TIMM),
    ("ViT_B32", "ViT-B_32",         384, None,   ""),
    ("ViT_B8",  "ViT-B_8",          384, None,   ""),
    ("ViT_L16", "ViT-L_16",         384, None,   ""),
    ("ViT_L32", "ViT-L_32",         384, 81.508, TIMM),
    ("R50_B16", "R50%2BViT-B_16",   384, 84.988, TIMM),
)
# AugReg, arXiv:2106.10270, all `{prefix}-i21k-300ep-lr_0.001-aug_{recipe}`: the
# files that timm chose, with its measurements.
AUGREG = (
    # variant, prefix, recipe of 224, recipe of 384 (None: the same), lr of both,
    # top-1 at 224, at 384 (None: no such file)
    ("ViT_Ti16", "Ti_16", "none-wd_0.03-do_0.0-sd_0.0", None, 0.03, 75.452, 78.438),
    ("ViT_S32", "S_32", "light1-wd_0.03-do_0.0-sd_0.0", None, 0.03, 76.010, 80.476),
    ("ViT_S16", "S_16", "light1-wd_0.03-do_0.0-sd_0.0", None, 0.03, 81.402, 83.814),
    ("ViT_B32", "B_32", "medium1-wd_0.03-do_0.0-sd_0.0",
     "light1-wd_0.1-do_0.0-sd_0.0", 0.03, 80.732, 83.358),
    ("ViT_B16", "B_16", "medium1-wd_0.1-do_0.0-sd_0.0", None, 0.01, 84.534, 86.010),
    ("ViT_B8", "B_8", "medium1-wd_0.1-do_0.0-sd_0.0", None, 0.01, 85.838, None),
    ("ViT_L16", "L_16", "medium1-wd_0.1-do_0.1-sd_0.1", None, 0.01, 85.856, 87.096),
    ("R_Ti16", "R_Ti_16", "none-wd_0.03-do_0.0-sd_0.0", None, 0.03, 71.800, 75.962),
    ("R26_S32", "R26_S_32", "light0-wd_0.03-do_0.1-sd_0.1",
     "medium2-wd_0.03-do_0.0-sd_0.0", 0.03, 81.856, 84.066),
    ("R50_L32", "R50_L_32", "medium1-wd_0.1-do_0.1-sd_0.1",
     "medium2-wd_0.1-do_0.0-sd_0.0", 0.01, 84.434, 86.188),
)
# The files that the authors recommend, with their own measurements at 384 px.
RECOMMENDED = (
    # variant, prefix, recipe, lr, top-1 at 384
    ("ViT_L16", "L_16",     "strong1-wd_0.1-do_0.0-sd_0.0", 0.01, 85.59),
    ("ViT_B16", "B_16",     "medium1-wd_0.1-do_0.0-sd_0.0", 0.03, 85.49),
    ("ViT_S16", "S_16",     "light1-wd_0.03-do_0.0-sd_0.0", 0.03, 83.73),
    ("R50_L32", "R50_L_32", "medium1-wd_0.1-do_0.1-sd_0.1", 0.01, 85.99),
    ("R26_S32", "R26_S_32", "light1-wd_0.1-do_0.0-sd_0.0",  0.01, 83.85),
    ("ViT_Ti16", "Ti_16",   "none-wd_0.03-do_0.0-sd_0.0",   0.03, 78.22),
    ("ViT_B32", "B_32",     "light1-wd_0.1-do_0.0-sd_0.0",  0.01, 83.59),
    ("ViT_S32", "S_32",     "none-wd_0.1-do_0.0-sd_0.0",    0.01, 79.58),
    ("R_Ti16",  "R_Ti_16",  "none-wd_0.03-do_0.0-sd_0.0",   0.03, 75.40),
    ("ViT_B8",  "B_8",      "medium2-wd_0.1-do_0.0-sd_0.0", None, None),
)
# AugReg on ImageNet-1k alone, `{prefix}-i1k-300ep-lr_0.001-aug_{recipe}`.
AUGREG_1K = (
    # variant, prefix, recipe, top-1 at 224, at 384
    ("ViT_S16", "S_16", "medium2-wd_0.1-do_0.0-sd_0.0", 78.842, 81.130),
    ("ViT_B32", "B_32", "medium2-wd_0.1-do_0.1-sd_0.1", 74.908, 78.750),
    ("ViT_B16", "B_16", "strong2-wd_0.1-do_0.1-sd_0.1", 79.154, 81.102),
)
# Sharpness-aware minimisation, arXiv:2106.01548; GSAM, arXiv:2203.08065.
SAM = (
    # variant, bucket, file, top-1, source
    ("ViT_B32", "sam", "ViT-B_32", 73.704, TIMM),
    ("ViT_B16", "sam", "ViT-B_16", 80.246, TIMM),
    ("ViT_S32", "gsam", "ViT-S_32-gap-norep", None, ""),
    ("ViT_S16", "gsam", "ViT-S_16-gap-norep", None, ""),
    ("ViT_B32", "gsam", "ViT-B_32-gap-norep", None, ""),
    ("ViT_B16", "gsam", "ViT-B_16-gap-norep", None, ""),
)
# "Better plain ViT baselines", arXiv:2205.01580.
PLAIN = (
    # epochs, top-1
    (90, 76.5), (150, 78.5), (300, 80.0),
)
# DeiT-III in big_vision's layout, for images in -1..1.
ZOO = (
    # variant, size, px, pre-training, top-1 of DeiT-III's README
    ("ViT_S16", "small", 224, "1k", 81.4), ("ViT_S16", "small", 224, "21k", 83.1),
    ("ViT_S16", "small", 384, "1k", 83.4), ("ViT_S16", "small", 384, "21k", 84.8),
    ("ViT_B16", "base",  224, "1k", 83.8), ("ViT_B16", "base",  224, "21k", 85.7),
    ("ViT_B16", "base",  384, "1k", 85.0), ("ViT_B16", "base",  384, "21k", 86.7),
    ("ViT_L16", "large", 224, "1k", 84.9), ("ViT_L16", "large", 224, "21k", 87.0),
    ("ViT_L16", "large", 384, "1k", 85.8), ("ViT_L16", "large", 384, "21k", 87.7),
)
# FlexiViT, arXiv:2212.08013: stored for 32 px patches, used here with 16 px.
FLEXI = (
    # variant, file, classes, tag, top-1
    ("ViT_S16", "flexivit_s_i1k",          IN1K,  "flexivit_in1k",  82.576),
    ("ViT_B16", "flexivit_b_i1k",          IN1K,  "flexivit_in1k",  84.678),
    ("ViT_L16", "flexivit_l_i1k",          IN1K,  "flexivit_in1k",  85.646),
    ("ViT_B16", "flexivit_b_i21k_1000ep",  IN21K, "flexivit_in21k", None),
)
# fmt: on


def rows():
    """Every row of this file, as `Checkpoint`."""
    return [*_original(), *_augreg(), *_recommended(), *_others()]


def _row(variant, tag, px, classes, url, score=None, source="", how="vit_jax"):
    return Checkpoint(variant, tag, px, classes, (url,), how, score, source, APACHE)


def _original():
    for variant, file in ORIGINAL:
        url = f"{VIT}/imagenet21k/{file}.npz"
        yield _row(variant, "orig_in21k", 224, IN21K, url)
    for variant, file, px, score, source in ORIGINAL_FT:
        url = f"{VIT}/imagenet21k%2Bimagenet2012/{file}.npz"
        yield _row(variant, "orig_in21k_ft_in1k", px, IN1K, url, score, source)


def _upstream(prefix, data, recipe):
    return f"{VIT}/augreg/{prefix}-{data}-300ep-lr_0.001-aug_{recipe}"


def _tuned(upstream, lr, px):
    return f"{upstream}--imagenet2012-steps_20k-lr_{lr}-res_{px}.npz"


def _augreg():
    for variant, prefix, small, large, lr, score, score_large in AUGREG:
        upstream = _upstream(prefix, "i21k", small)
        yield _row(variant, "augreg_in21k", 224, IN21K, f"{upstream}.npz")
        tag = "augreg_in21k_ft_in1k"
        yield _row(variant, tag, 224, IN1K, _tuned(upstream, lr, 224), score, TIMM)
        if score_large is not None:
            url = _tuned(_upstream(prefix, "i21k", large or small), lr, 384)
            yield _row(variant, tag, 384, IN1K, url, score_large, TIMM)
    for variant, prefix, recipe, score, score_large in AUGREG_1K:
        upstream = _upstream(prefix, "i1k", recipe)
        for px, top1 in ((224, score), (384, score_large)):
            url = _tuned(upstream, 0.01, px)
            yield _row(variant, "augreg_in1k", px, IN1K, url, top1, TIMM)


def _recommended():
    for variant, prefix, recipe, lr, score in RECOMMENDED:
        upstream = _upstream(prefix, "i21k", recipe)
        yield _row(variant, "howto_in21k", 224, IN21K, f"{upstream}.npz")
        if lr is not None:
            url = _tuned(upstream, lr, 384)
            yield _row(variant, "howto_in21k_ft_in1k", 384, IN1K, url, score, README)


def _others():
    for variant, bucket, file, score, source in SAM:
        url = f"{VIT}/{bucket}/{file}.npz"
        yield _row(variant, f"{bucket}_in1k", 224, IN1K, url, score, source)
    for epochs, score in PLAIN:
        url = f"{BIG}/vit_s16_i1k_{epochs}ep.npz"
        row = _row("ViT_S16", f"plain_in1k_{epochs}ep", 224, IN1K, url, score)
        source = "arXiv:2205.01580"
        yield row._replace(preparation="big_vision", source=source)
    for variant, size, px, data, score in ZOO:
        url = f"{BIG}/zoo/deit3/bv_deit_3_{size}_{px}_{data}.npz"
        tag = "deit3_bv_in1k" if data == "1k" else "deit3_bv_in21k_ft_in1k"
        row = _row(variant, tag, px, IN1K, url, score, "DeiT-III README")
        yield row._replace(preparation="big_vision")
    for variant, file, classes, tag, score in FLEXI:
        url = f"{BIG}/flexivit/{file}.npz"
        row = _row(variant, tag, 240, classes, url, score, TIMM if score else "")
        options = (("patch_size", 16), ("image_size", 240))
        options += (("kernel", "bilinear_antialias"),)
        yield row._replace(preparation="timm_95", options=options)
