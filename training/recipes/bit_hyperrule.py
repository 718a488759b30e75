"""BiT-HyperRule: fine-tuning without a search, by the number of images alone.

    training.fit("bit_hyperrule", model=model, data="folder:photos/")

Cost: 500 to 20,000 steps of 512 images. Published, BiT-M R50x1: ImageNet 80.7,
CIFAR-10 97.2 to 97.4, CIFAR-100 86.4 to 86.6 % top-1; not run here. The model works at
384 px, or at its own size with a resize of the same share. Images below 96 x 96 px:
model at 128 px and augment="resize_crop(160)|flip".

Source: Kolesnikov et al. 2019, arXiv:1912.11370, section 3.3, code `bit_hyperrule.py`.
Their TensorFlow code mirrors every training image, a slip; here half of them.
"""

import dataclasses

from keras_vit.training.recipes.base import Recipe

# Images below this count -> ends of warm-up, of the stairs, and of the run, in steps.
SUPPORTS = {
    20_000: (100, 200, 300, 400, 500),
    500_000: (500, 3_000, 6_000, 9_000, 10_000),
    float("inf"): (500, 6_000, 12_000, 18_000, 20_000),
}


def by_size(recipe, examples):
    """Length, schedule and mixup for a number of training images.

    >>> by_size(RECIPE, 1_000).steps, by_size(RECIPE, 50_000).mixup
    (500, 0.1)
    """
    warmup, *drops, steps = next(row for n, row in SUPPORTS.items() if examples < n)
    return dataclasses.replace(
        recipe,
        steps=steps,
        warmup=f"{warmup} steps",
        schedule={"name": "steps", "drop": [f"{drop} steps" for drop in drops]},
        mixup=0.0 if examples < 20_000 else 0.1,
        mix_rule="bit",
    )


RECIPE = by_size(
    Recipe(
        name="bit_hyperrule",
        image_size=384,
        data_rule="bit_hyperrule",
        batch_size=512,
        scaling="linear",
        optimizer={"name": "sgd", "momentum": 0.9},
        learning_rate=0.003,
        weight_decay=0.0,
        clipnorm=None,
        label_smoothing=0.0,
        augment="resize_crop(448)|flip",
    ),
    examples=100_000,
)
