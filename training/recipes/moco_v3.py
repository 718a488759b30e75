"""MoCo v3, a Vision Transformer from ImageNet without labels.

    keras-vit train --recipe moco_v3 --output runs/moco_b16

Cost: about 5.4e19 multiply-adds for B/16 (both views, four passes). Published, linear
probe: 73.2 % top-1 for S/16, 76.7 % for B/16 (the code's); not run here. Their S/16 has
12 heads: model={"kind": "MoCoV3", "width": 384, "heads": 12, "mlp_dim": 1536}.

Source: Chen, Xie and He 2021, arXiv:2104.02057, sections 3 to 5, and code (CONFIG.md):
300 epochs of 4,096 images, 1.5e-4 per 256 images. Beside the code: biases, norms and
the class token do not decay here.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="moco_v3",
    data="tfds:imagenet2012",
    model={"kind": "MoCoV3", "temperature": 0.2, "momentum": 0.99},
    image_size=224,
    preprocessing={"mode": "imagenet", "resize": "short_side", "crop": 0.875},
    epochs=300,
    batch_size=4096,
    scaling="linear",
    optimizer="adamw",
    learning_rate=2.4e-3,
    schedule="cosine",
    warmup="40 epochs",
    weight_decay=0.1,
    clipnorm=None,
    label_smoothing=0.0,
    augment="moco_v3",
    monitor="val_loss",
)
