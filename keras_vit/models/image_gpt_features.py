"""Features and classifier of an image GPT."""

import keras
from keras import ops

from keras_vit.models.image_model import ImageModel

EVERY = "every"  # block: one vector for each depth


@keras.saving.register_keras_serializable("keras_vit")
class PixelFeatures(keras.layers.Layer):
    """Features of an image GPT: mean over all pixels of a block's input.

    Args:
        trunk: `ImageGPT`.
        block: index of the block whose norm is read; the depth, or None, is the last
            norm; "every" reads all of them in one pass.
        generative: weight of the trunk's own loss while training.

    Call:
        images: (B, H, W, 3) in -1..1. Returns: (B, D), or (B, depth + 1, D).

    Source:
        Chen et al. 2020, section 3.5 (`f^l`, the mean of `n^l`) and 3.4 (the sum of
        both losses).
    """

    def __init__(self, trunk, block=None, generative=0.0, **kwargs):
        super().__init__(**kwargs)
        self.trunk = trunk
        self.block = block
        self.generative = generative

    def call(self, images, training=None):
        trunk = self.trunk
        tokens = trunk.tokens(images)
        causal = trunk.objective == "autoregressive"
        x = trunk.embed(trunk.before(tokens) if causal else tokens)
        if self.block == EVERY:
            means = [ops.mean(normed, axis=1) for normed in trunk.every_hidden(x)]
            return ops.stack(means, axis=1)
        x = trunk.hidden(x, self.block)
        if self.generative and training:
            loss = trunk.token_loss(tokens, trunk.head(x))
            self.add_loss(self.generative * loss)
        return ops.mean(x, axis=1)

    def compute_output_shape(self, input_shape):
        depths = (self.trunk.depth + 1,) if self.block == EVERY else ()
        return (input_shape[0], *depths, self.trunk.width)

    def get_config(self):
        return {
            **super().get_config(),
            "trunk": keras.saving.serialize_keras_object(self.trunk),
            "block": self.block,
            "generative": self.generative,
        }

    @classmethod
    def from_config(cls, config):
        trunk = keras.saving.deserialize_keras_object(config["trunk"])
        return cls(**{**config, "trunk": trunk})


def pixel_features(model, block=None):
    """Make a model of one block's features, for probes.

    Args:
        model: `ImageGPT`. block: 0 to its depth; None is the depth. The paper's best
            lie in the middle.

    Returns:
        `ImageModel`, (B, H, W, 3) -> (B, D), sharing the weights.

    Raises:
        ValueError: for a block that does not exist.
    """
    if block is not None and not 0 <= block <= model.depth:
        raise ValueError(
            f"block: must be 0 to {model.depth}, got {block!r}. Use the middle, "
            f"block={model.depth // 2}."
        )
    images = keras.Input(model.image_shape, name="image")
    features = ImageModel(images, PixelFeatures(model, block, name="pool")(images))
    features.preprocessing = model.preprocessing
    return features


def make_classifier(
    model,
    classes,
    pooling=None,
    generative=0.0,
    labels=None,
    name="classifier",
    **unknown,
):
    """Put a linear head on the mean of all pixels; see `classifier_from`."""
    if unknown:
        raise TypeError(
            "options: a classifier of an image GPT takes generative, labels and name, "
            f"got {', '.join(f'{key}={value!r}' for key, value in unknown.items())}. "
            "Leave it out."
        )
    if labels is not None and len(labels) != classes:
        raise ValueError(
            f"labels: must be {classes} names, one per class, got {len(labels)}. Pass "
            f"classes={len(labels)}."
        )
    if pooling not in (None, "gap"):
        raise ValueError(
            f"pooling: an image GPT takes the mean, 'gap', got {pooling!r}. "
            "Leave it out."
        )
    if generative and model.objective != "autoregressive":
        raise ValueError(
            f"generative: needs objective='autoregressive', got {generative!r} with "
            f"{model.objective!r}. Leave it out."
        )
    trunk = type(model).from_config(model.get_config())
    trunk.set_weights(model.get_weights())
    images = keras.Input(model.image_shape, name="image")
    x = PixelFeatures(trunk, generative=generative, name="pool")(images)
    head = keras.layers.Dense(
        classes, kernel_initializer="zeros", dtype="float32", name="head"
    )
    classifier = ImageModel(images, head(x), name=name)
    classifier.preprocessing = model.preprocessing
    classifier.labels = None if labels is None else list(labels)
    return classifier
