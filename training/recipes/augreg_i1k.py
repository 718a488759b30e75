"""AugReg, pre-training on ImageNet: augmentation instead of more images.

    keras-vit train --recipe augreg_i1k --output runs/augreg_i1k

Cost: about 2.0e19 multiply-adds for B/16. Published: 79.2 % top-1 for B/16, 78.8 % for
S/16, after fine-tuning at 224 px (measured by timm); not run here. Augmentation by
size: Ti/16 light1, S/32 medium1, others medium2, whose mixup is 0.5.

Source: Steiner et al. 2021, arXiv:2106.10270; big_vision `vit_i1k.py`, whose decay of
1e-4 beside a learning rate of 1e-3 is our 0.1.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="augreg_i1k",
    data="tfds:imagenet2012",
    model={
        "variant": "ViT-B/16",
        "representation_size": 768,
        "head_bias": -6.9,
        "activation": "gelu_tanh",
    },
    image_size=224,
    epochs=300,
    batch_size=4096,
    scaling="linear",
    optimizer="adamw",
    learning_rate=1e-3,
    schedule="cosine",
    warmup="10000 steps",
    weight_decay=0.1,
    clipnorm=1.0,
    loss="sigmoid",
    label_smoothing=0.0,
    augment="medium2",
    mixup=0.5,
    mix_rule="big_vision",
)
