"""CIFAR-10 from scratch: a small Vision Transformer on a laptop."""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="cifar10",
    model={
        "conv_stem": (64, 64, 128, 128),
        "patch_size": 1,
        "width": 128,
        "depth": 4,
        "heads": 4,
        "mlp_dim": 256,
        "pooling": "map",
    },
    image_size=32,
    epochs=20,
    batch_size=64,
    learning_rate=1e-3,
    warmup=0.1,
    weight_decay=0.05,
    label_smoothing=0.1,
    augment="flip|shift(4)",
)
