"""MAE, fine-tuning B/16 on ImageNet after pre-training without labels.

    training.fit("mae_finetune", model=from_checkpoint(
        "mae_pretrain_vit_base.pth", heads=12, classes=1000, pooling="gap",
        norm_pooled=True, drop_path=0.1))

    training.fit("mae_finetune", model=classifier_from(mae, 1000, drop_path=0.1))

The norm stands behind the mean of the patches and begins anew.

Cost: about 6.8e18 multiply-adds for B/16. Published: 83.7 % top-1 for B, 86.0 % for L,
86.9 % for H; not run here. L: 50 epochs, learning_rate=4e-3, layer_decay=0.75 and
drop_path=0.2 in the model; H the same with 0.3.

Source: He et al. 2021, arXiv:2111.06377, code (FINETUNE.md). The rate is 5e-4 per 256
images.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="mae_finetune",
    data="tfds:imagenet2012",
    image_size=224,
    epochs=100,
    batch_size=1024,
    scaling="linear",
    optimizer="adamw",
    learning_rate=2e-3,
    schedule={"name": "cosine", "final": 1e-6},
    warmup="5 epochs",
    weight_decay=0.05,
    layer_decay=0.65,
    clipnorm=None,
    label_smoothing=0.1,
    augment="deit",
    mixup=0.8,
    cutmix=1.0,
    mix_rule="timm",
)
