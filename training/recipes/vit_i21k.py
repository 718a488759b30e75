"""ViT paper, pre-training on ImageNet-21k.

    keras-vit train --recipe vit_i21k --data SOURCE --output runs/vit_i21k

Cost: about 6.7e19 multiply-adds for B/16. Published: 84.0 % top-1 on ImageNet after
fine-tuning at 384 px (`vit_finetune_imagenet`); not run here. L/16 and L/32: 30 or 90
epochs of the same.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, tables 3 and 5. Gradients are
clipped on ImageNet alone.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="vit_i21k",
    model={
        "variant": "ViT-B/16",
        "dropout": 0.1,
        "representation_size": 768,
        "activation": "gelu_tanh",
    },
    image_size=224,
    epochs=90,
    batch_size=4096,
    scaling="linear",
    optimizer="adamw",
    learning_rate=1e-3,
    schedule="linear",
    warmup="10000 steps",
    weight_decay=0.03,
    clipnorm=None,
    label_smoothing=0.0,
    augment="inception",
)
