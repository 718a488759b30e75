"""DeiT: a ViT from ImageNet alone, by strong augmentation.

    keras-vit train --recipe deit --output runs/deit_s16

Cost: about 5.3e18 multiply-adds for S/16; published: 53 hours on 8 V100 for B/16.
Published: Ti 72.2, S 79.9, B 81.8 % top-1; not run here.

Source: Touvron et al. 2020, arXiv:2012.12877, table 9 and code: rates change once per
epoch, and the first one stays for two.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="deit",
    data="tfds:imagenet2012",
    model={"variant": "ViT-S/16", "drop_path": 0.1},
    image_size=224,
    preprocessing={
        "mode": "imagenet",
        "resize": "short_side",
        "crop": 0.875,
        "interpolation": "bicubic",
    },
    epochs=300,
    batch_size=1024,
    scaling="linear",
    optimizer="adamw",
    learning_rate=1e-3,
    schedule={"name": "epoch_cosine", "first": 1e-6, "final": 1e-5},
    warmup="5 epochs",
    weight_decay=0.05,
    clipnorm=None,
    label_smoothing=0.1,
    augment="deit",
    mixup=0.8,
    cutmix=1.0,
    mix_rule="timm",
    repeats=3,
)
