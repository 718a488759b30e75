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
        "pooling": "map",
        "position": "sincos2d",
        "drop_path": 0.1,
    },
    image_size=32,
    epochs=90,
    batch_size=64,
    learning_rate=2e-3,
    warmup=0.05,
    weight_decay=0.05,
    beta_2=0.99,
    ema=0.99,
    label_smoothing=0.1,
    augment="digits",
    steps_per_execution=19,
    monitor="val_loss",  # one of 180 validation images is half a point of top-1
)
