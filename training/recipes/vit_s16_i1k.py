"""Better plain ViT baselines: S/16 on ImageNet in 90 epochs.

    keras-vit train --recipe vit_s16_i1k --output runs/vit_s16_i1k

Cost: about 1.6e18 multiply-adds; published: under seven hours on a TPUv3-8. Published:
76.5 % top-1 after 90 epochs, 80.0 % after 300; not run here.

Source: Beyer et al. 2022, arXiv:2205.01580; big_vision `vit_s16_i1k.py`, whose decay of
1e-4 beside a learning rate of 1e-3 is our 0.1. They count 111,477 steps, which are 90
times 1,268,355 images over 1,024.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="vit_s16_i1k",
    data="tfds:imagenet2012",
    model={
        "variant": "ViT-S/16",
        "pooling": "gap",
        "position": "sincos2d",
        "representation_size": 384,
        "activation": "gelu_tanh",
    },
    image_size=224,
    preprocessing={"resize": "short_side", "crop": 0.875},
    epochs=90,
    batch_size=1024,
    scaling="linear",
    optimizer="adamw",
    learning_rate=1e-3,
    schedule="cosine",
    warmup="10000 steps",
    weight_decay=0.1,
    clipnorm=1.0,
    label_smoothing=0.0,
    augment="light2",
    mixup=0.2,
    mix_rule="big_vision",
)
