"""SimCLR on ImageNet without labels: two views of an image find each other.

    keras-vit train --recipe simclr --output runs/simclr_b16

Cost: about 1.4e19 multiply-adds for B/16 in 100 epochs (both views, three passes).
Published, linear probe of ResNet-50 after 1,000 epochs: 69.1 % top-1 (the code's);
not run here.

Source: Chen et al. 2020, arXiv:2002.05709, sections 2 and 5 and appendix B, and code:
100 epochs of 4,096 images, LARS with 0.3 per 256 images, decay 1e-6. The encoder is a
ViT-B/16 where theirs is a ResNet-50; for small images leave the blur out and halve the
jitter, as they do: see docs/contrastive.md. For batches below 1,000 they prefer 0.075
times the root of the batch: scaling="sqrt".
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="simclr",
    data="tfds:imagenet2012",
    model={"kind": "SimCLR", "temperature": 0.1},
    image_size=224,
    preprocessing={"mode": "imagenet", "resize": "short_side", "crop": 0.875},
    epochs=100,
    batch_size=4096,
    scaling="linear",
    optimizer="lars",
    learning_rate=4.8,
    schedule="cosine",
    warmup="10 epochs",
    weight_decay=1e-6,
    clipnorm=None,
    label_smoothing=0.0,
    augment="simclr",
    monitor="val_loss",
)
