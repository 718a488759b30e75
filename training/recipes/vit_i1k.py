"""ViT paper, pre-training on ImageNet.

    keras-vit train --recipe vit_i1k --output runs/vit_i1k

Cost: about 2.0e19 multiply-adds for B/16. Published: 77.9 % top-1 after fine-tuning at
384 px (`vit_finetune_imagenet`); not run here.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, tables 3 and 5. The paper says
dropout 0.1, "after every dense layer except qkv", and one hidden layer in the head.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="vit_i1k",
    data="tfds:imagenet2012",
    model={
        "variant": "ViT-B/16",
        "dropout": 0.1,
        "representation_size": 768,
        "activation": "gelu_tanh",
    },
    image_size=224,
    epochs=300,
    batch_size=4096,
    scaling="linear",
    optimizer="adamw",
    learning_rate=3e-3,
    schedule="cosine",
    warmup="10000 steps",
    weight_decay=0.3,
    clipnorm=1.0,
    label_smoothing=0.0,
    augment="inception",
)
