"""MAE, pre-training of B/16 on ImageNet without labels.

    keras-vit train --recipe mae_pretrain --output runs/mae_b16

Cost: about 1.4e19 multiply-adds for B/16 (a quarter of the patches is seen).
Published, after `mae_finetune`: 83.7 % top-1 for B, 86.0 % for L, 86.9 % for H;
not run here. For L give the model {"width": 1024, "depth": 24, "heads": 16,
"mlp_dim": 4096} as well.

Source: He et al. 2021, arXiv:2111.06377, table 8 and code (PRETRAIN.md): 800 epochs,
1.5e-4 per 256 images. Beside the code: class and mask token do not decay here.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="mae_pretrain",
    data="tfds:imagenet2012",
    model={"kind": "MaskedAutoencoder"},
    image_size=224,
    preprocessing={"mode": "imagenet", "resize": "short_side", "crop": 0.875},
    epochs=800,
    batch_size=4096,
    scaling="linear",
    optimizer="adamw",
    beta_2=0.95,
    learning_rate=2.4e-3,
    schedule="cosine",
    warmup="40 epochs",
    weight_decay=0.05,
    clipnorm=None,
    label_smoothing=0.0,
    augment="mae",
    monitor="val_loss",
)
