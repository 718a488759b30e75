"""Masked patch prediction, the self-supervision of the ViT paper, for B/16.

    keras-vit train --recipe masked_patch_prediction --data tfds:imagenet2012 \\
        --output runs/mpp_b16

Cost: 1 million steps of 4,096 images on JFT in the paper, about 2e20 multiply-adds; the
paper says that gains end near 100,000 steps, and are similar on ImageNet. Published,
after fine-tuning: 79.9 % top-1 for B/16; not run here.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, appendix B.1.2. Weight decay is not
stated there.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="masked_patch_prediction",
    data="tfds:imagenet2012",
    model={"kind": "MaskedPatchPrediction"},
    image_size=224,
    steps=1_000_000,
    batch_size=4096,
    optimizer="adamw",
    learning_rate=2e-4,
    schedule="cosine",
    warmup="10000 steps",
    weight_decay=0.0,
    clipnorm=None,
    label_smoothing=0.0,
    augment="inception",
    monitor="val_loss",
)
