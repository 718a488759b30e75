"""ViT paper, fine-tuning at 384 px: one row per data set.

    training.fit("vit_finetune_cifar10", model=ViT_B16(
        weights="augreg_in21k", input_shape=(384, 384, 3), classes=10))

The path of a file in place of the model is rebuilt for 384 px.

Cost: 8.5e17 multiply-adds for 10,000 steps of B/16. Published, pre-trained on
ImageNet-21k, B/16: ImageNet 83.97, CIFAR-10 98.95, CIFAR-100 91.67, Pets 94.43,
Flowers 99.38 % top-1; not run here.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, tables 4 and 5, which searches the
learning rate in {0.001, 0.003, 0.01, 0.03}, for ImageNet in {0.003, 0.01, 0.03, 0.06}.
Here stand the values of vit_jax and of big_vision's transfer configs. Warm-ups:
vit_jax, and AugReg for the short runs.
"""

from keras_vit.training.recipes.base import Recipe

ROWS = {  # fmt: off
    #           data                     steps    lr     warm-up
    "imagenet": ("tfds:imagenet2012", 20_000, 0.03, 500),
    "cifar10": ("tfds:cifar10", 10_000, 0.01, 500),
    "cifar100": ("tfds:cifar100", 10_000, 0.03, 500),
    "pets": ("tfds:oxford_iiit_pet", 500, 0.003, 100),
    "flowers": ("tfds:oxford_flowers102", 500, 0.003, 100),
    "vtab": (None, 2_500, 0.01, 200),
}  # fmt: on


def _recipe(name, data, steps, learning_rate, warmup):
    return Recipe(
        name=f"vit_finetune_{name}",
        data=data,
        image_size=384,
        steps=steps,
        batch_size=512,
        scaling="linear",
        optimizer={"name": "sgd", "momentum": 0.9},
        learning_rate=learning_rate,
        schedule="cosine",
        warmup=f"{warmup} steps",
        weight_decay=0.0,
        clipnorm=1.0,
        label_smoothing=0.0,
        augment="inception",
    )


RECIPES = tuple(_recipe(name, *row) for name, row in ROWS.items())
