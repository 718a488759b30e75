"""A trained model on new classes: the usual way to a good classifier.

    training.fit(recipe="finetune", model=model, data="folder:photos/")

AdamW rather than the SGD of the ViT paper, whose best learning rate differs
from data set to data set (arXiv:2010.11929, tab. 4). Not measured here yet.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="finetune",
    epochs=5,
    batch_size=32,
    learning_rate=1e-4,
    warmup=0.1,
    weight_decay=0.05,
    label_smoothing=0.1,
    augment="auto",
)
