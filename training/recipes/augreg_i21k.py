"""AugReg, pre-training on ImageNet-21k: where most published ViTs come from.

    keras-vit train --recipe augreg_i21k --data SOURCE --output runs/augreg_i21k

Cost: about 2.2e20 multiply-adds for B/16. Published: 84.5 % top-1 on ImageNet after
fine-tuning at 224 px (B/16, measured by timm); not run here. Augmentation by size:
Ti/16 and S/32 none ("inception"), S/16 light1, B light2, L/16 medium2; mixup is 0.2 in
light2, 0.5 in medium2, else 0.

Source: Steiner et al. 2021, arXiv:2106.10270; big_vision `vit_i21k.py`, whose decay of
1e-4 (or 3e-5) beside a learning rate of 1e-3 is our 0.1 (or 0.03).
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="augreg_i21k",
    model={
        "variant": "ViT-B/16",
        "representation_size": 768,
        "head_bias": -10.0,
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
    augment="light2",
    mixup=0.2,
    mix_rule="big_vision",
)
