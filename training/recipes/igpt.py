"""Image GPT S on ImageNet at 32 px, pixel by pixel.

    keras-vit train --recipe igpt --output runs/igpt_s

Cost: 1 million steps of 128 images, about 1e19 multiply-adds for S. Published: 2.09
nats per pixel on ImageNet's test images for S, 2.06 for M, 2.05 for L; not run here.

Source: Chen et al. 2020, "Generative Pretraining from Pixels", sections 3.2 and 3.4:
Adam with beta_2 0.95, one epoch of warm-up, cosine, no dropout. The learning rate that
each size got is not published: the best of 0.01, 0.003, 0.001, ... Beside the paper:
the palette is an even grid unless the model is given with another; images are squashed.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="igpt",
    data="tfds:imagenet2012",
    model={"kind": "ImageGPT"},
    image_size=32,
    steps=1_000_000,
    batch_size=128,
    optimizer="adamw",
    beta_2=0.95,
    learning_rate=3e-3,
    schedule="cosine",
    warmup="1 epochs",
    weight_decay=0.0,
    clipnorm=None,
    label_smoothing=0.0,
    augment="none",
    monitor="val_loss",
)
