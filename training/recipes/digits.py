"""Handwritten digits from scratch: a small Vision Transformer on a laptop."""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="digits",
    data="digits",
    model={
        "patch_size": 8,
        "width": 64,
        "depth": 4,
        "heads": 4,
        "mlp_dim": 256,
        "pooling": "gap",
    },
    image_size=32,
    epochs=80,
    batch_size=32,
    learning_rate=2e-3,
    warmup=0.05,
    weight_decay=0.05,
    label_smoothing=0.1,
    augment="digits",
)
