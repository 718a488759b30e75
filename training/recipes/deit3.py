"""DeiT-III: three simple augmentations, LAMB, and classes on their own.

    keras-vit train --recipe deit3 --output runs/deit3_s16

Cost: about 1.4e19 multiply-adds for S/16. Published: S 81.4, B 83.8, L 84.9, H 85.2 %
top-1; not run here.

Source: Touvron et al. 2022, arXiv:2204.07118, table 1 and code. The rate is not
scaled with the batch.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="deit3",
    data="tfds:imagenet2012",
    model={
        "variant": "ViT-S/16",
        "drop_path": 0.05,
        "layer_scale": 1e-4,
        "position_prefix": False,
    },
    image_size=224,
    preprocessing={
        "mode": "imagenet",
        "resize": "short_side",
        "crop": 1.0,
        "interpolation": "bicubic",
    },
    epochs=800,
    batch_size=2048,
    optimizer="lamb",
    learning_rate=4e-3,
    schedule={"name": "epoch_cosine", "first": 1e-6, "final": 1e-5},
    warmup="5 epochs",
    weight_decay=0.05,
    clipnorm=1.0,
    loss={"name": "sigmoid", "mean_of_classes": True, "binary_targets": True},
    label_smoothing=0.0,
    augment="deit3",
    mixup=0.8,
    cutmix=1.0,
    mix_rule="timm",
    repeats=3,
)
