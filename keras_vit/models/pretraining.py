"""Base classes of self-supervised models, and their conversion to classifiers."""

import dataclasses
import numbers
from typing import Any, Self, cast

import keras
import numpy as np
from keras import ops

from keras_vit import words
from keras_vit.layers.legacy import refuse_h5
from keras_vit.layers.patches import pair
from keras_vit.layers.position import sincos2d
from keras_vit.models import vit
from keras_vit.models.architecture import Architecture
from keras_vit.models.image_model import ImageModel
from keras_vit.preprocess import Preprocessing
from keras_vit.types import Config, Shape, Tensor
from keras_vit.words import check_names


class PretrainingModel(keras.Model):
    """Base class of self-supervised models: `call` adds the model's own loss.

    Args:
        image_shape: (H, W, C). preprocessing: `keras_vit.Preprocessing`.
        seed: of the draws. name, dtype: as usual.

    Attributes:
        preprocessing: how images must be prepared. labels: None.
        views: so many differently augmented copies of each image are compared; with
            two, images are (B, 2, H, W, C).
        whole_batch: whether the loss is one of all images of a step together, so that
            a batch cannot be worked on in pieces.
    """

    views = 1
    whole_batch = False

    def __init__(
        self,
        image_shape: Shape,
        preprocessing: Preprocessing,
        seed: int,
        name: str,
        dtype: str | None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.image_shape = tuple(image_shape)
        self.preprocessing = preprocessing
        self.labels = None
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    @property
    def input_shape(self) -> Shape:
        """(None, H, W, C), as functional models have it."""
        return (None, *self.image_shape)

    def begin(self, steps: int) -> None:
        """Receive the number of updates of a run; most models ignore it."""

    def gather(self, rows: Tensor) -> tuple[Tensor, Any]:
        """Gather the rows of all devices, with the index of this device's first.

        Here one device has all of them. Who shares a batch out puts another function
        in the place of this one.

        Args:
            rows: (b, D).

        Returns:
            (B, D) and a number.
        """
        return rows, 0

    def share(self, count: Any) -> tuple[Any, Any]:
        """Number of images on all devices, with the index of this device's first.

        Replaced as `gather` is.

        Args:
            count: of images here.

        Returns:
            Two numbers.
        """
        return count, 0

    def draw(self, shape: Any, training: bool | None, axis: int = 0) -> Tensor:
        """Draw uniform random numbers: new ones in training, fixed ones otherwise.

        Devices that share a batch draw for all of it, and each takes what belongs to
        its own images: these get the same numbers on any number of devices.

        Args:
            shape: of the numbers. training: as in `call`. axis: that of the images.

        Returns:
            Float32 in 0..1, of that shape.
        """
        if not training:
            return keras.random.uniform(shape, seed=self.seed)
        shape, starts = list(shape), [0] * len(shape)
        total, starts[axis] = self.share(shape[axis])
        drawn = [*shape[:axis], total, *shape[axis + 1 :]]
        numbers = keras.random.uniform(drawn, seed=self.generator)
        return numbers if total is shape[axis] else ops.slice(numbers, starts, shape)

    def check_images(self, images: Tensor) -> None:
        """Check that images have the model's size.

        Raises:
            ValueError: when they are not.
        """
        shape = tuple(images.shape)
        sides = zip(shape[1:], self.image_shape, strict=False)
        if len(shape) != 4 or not all(side in (None, own) for side, own in sides):
            wanted = ", ".join(map(str, self.image_shape))
            raise ValueError(
                f"{self.name}: takes images (B, {wanted}), got shape {shape}. Prepare "
                "them with model.preprocessing, and give a single one a batch axis "
                "with image[None]."
            )

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Rebuild from `get_config`."""
        note = Preprocessing(**config["preprocessing"])
        return cls(**{**config, "preprocessing": note})


class EncoderModel(PretrainingModel):
    """A self-supervised model whose encoder is a Vision Transformer.

    Args:
        arch: `Architecture` of the encoder. seed: of the draws.
        dtype: of what the model computes besides; None is that of the encoder.

    Attributes:
        encoder: functional model, images -> features.
    """

    pooled: Config = {}  # fields of `Architecture` for a classifier
    fixed: Config = {}  # fields that the method decides, which are no options

    def __init__(self, arch: Architecture, seed: int, dtype: str | None = None) -> None:
        shape = (*pair(arch.image_size, "image_size"), arch.channels)
        dtype = dtype or arch.dtype
        note = cast(Preprocessing, arch.preprocessing)  # `Architecture` settled it
        super().__init__(shape, note, seed, arch.name, dtype)
        self.arch = arch
        self.encoder = vit.build(arch)

    def fix_positions(self) -> None:
        """Set fixed sine-cosine positions in the encoder, as in `fixed_table`."""
        table = self.encoder.get_layer("patch_encoder").table
        table.embedding.assign(fixed_table(self.arch.grid, self.arch.width))
        table.trainable = False

    def make_classifier(
        self, classes: int, pooling: str | None = None, **options: Any
    ) -> ImageModel:
        """See `classifier_from`."""
        for name in ("image_size", "patch_size", "width", "depth", "heads", "mlp_dim"):
            if options.get(name, getattr(self.arch, name)) != getattr(self.arch, name):
                raise ValueError(
                    f"{name}: must be the model's, {getattr(self.arch, name)!r}, got "
                    f"{options[name]!r}. Leave it out."
                )
        pooled = {"pooling": pooling} if pooling else self.pooled
        top = {"include_top": True, "classes": classes, "name": "classifier"}
        arch = dataclasses.replace(self.arch, **{**top, **pooled, **options})
        model = vit.build(arch)
        own = {layer.name: layer for layer in model.layers}
        for layer in self.encoder.layers:
            if layer.name in own:
                own[layer.name].set_weights(layer.get_weights())
        return model

    def get_config(self) -> Config:
        """Plain values that rebuild this model, the encoder's among them."""
        refuse_h5()
        names = [field.name for field in dataclasses.fields(self.arch)]
        options = {
            name: getattr(self.arch, name) for name in names if name not in self.fixed
        }
        note = cast(Preprocessing, self.arch.preprocessing)
        options["preprocessing"] = note.get_config()
        return {**options, "seed": self.seed}


# Architecture fields that masking fixes.
MASKING = {
    "include_top": False,
    "pooling": None,
    "class_token": True,
    "position_prefix": True,
    "registers": 0,
    "distilled": False,
    "stem": None,
    "conv_stem": None,
}


class MaskedModel(EncoderModel):
    """A Vision Transformer trained by masking.

    Attributes:
        encoder: functional model, images -> tokens (B, 1 + N, D).
    """

    fixed = MASKING

    def run_blocks(self, tokens: Tensor, training: bool | None) -> Tensor:
        """Run tokens through the blocks and the final norm."""
        layers = self.encoder.get_layer
        if self.arch.norm_input:
            tokens = layers("norm_input")(tokens)
        for index in range(self.arch.depth):
            tokens = layers(f"block_{index}")(tokens, training=training)
        return layers("norm")(tokens)


def encoder_architecture(name, mode, options, fixed):
    """Architecture of an `EncoderModel`'s encoder.

    Args:
        name: of the model. mode: range of the images unless options say it.
        options: fields of `Architecture`. fixed: dict of those the method fixes.

    Raises:
        ValueError: for an option that the method fixes to something else.
    """
    for field, value in fixed.items():
        if options.get(field, value) != value:
            raise ValueError(
                f"{field}: pre-training has {field}={value!r}, got {options[field]!r}. "
                "Leave it out; classifier_from takes it."
            )
    fields = [f.name for f in dataclasses.fields(Architecture)]
    check_names(name, options, fields, words.MODELS)
    arch = Architecture(**{"name": name, **options, **fixed})
    if options.get("preprocessing") is None:
        note = Preprocessing(image_size=arch.image_size, mode=mode)
        arch = dataclasses.replace(arch, preprocessing=note)
    return arch


def is_share(value, most=False):
    """Whether a value is a number between 0 and 1; with `most`, 1 included."""
    return isinstance(value, numbers.Real) and (0 < value < 1 or (most and value == 1))


def fixed_table(grid, width):
    """(1, 1 + N, D) positions of MAE and MoCo v3: zeros for the class token first."""
    table = sincos2d(grid, width, reach_last=False)
    return np.concatenate([np.zeros((1, width), "float32"), table])[None]


def classifier_from(
    model: keras.Model, classes: int, pooling: str | None = None, **options: Any
) -> ImageModel:
    """Make a classifier of a self-supervised model's trained encoder.

    Args:
        model: `MaskedAutoencoder`, `MaskedPatchPrediction`, `SimCLR`, `MoCoV3` or
            `ImageGPT`.
        classes: K, units of a new head, which starts at zero.
        pooling: "token", "gap" or "map"; None is the method's own: the mean of the
            patches with a norm behind it for a masked autoencoder, the class token
            for masked patch prediction; what it was trained with for SimCLR and
            MoCo v3. An image GPT takes the mean of all positions.
        **options: other fields of `Architecture`, such as drop_path, labels, name; for
            an image GPT `generative`, `labels` and `name`.

    Returns:
        `ImageModel`, (B, H, W, C) -> (B, K) logits, with weights of its own, all
        trainable.

    Raises:
        TypeError: for another model.

    Source:
        Masked autoencoder: arXiv:2111.06377, appendix A.1; its head starts with
        normal numbers of std 2e-5, ours with zeros.
    """
    if not isinstance(model, PretrainingModel):
        raise TypeError(
            "model: must be a MaskedAutoencoder, MaskedPatchPrediction, SimCLR, MoCoV3 "
            f"or ImageGPT, got {type(model).__name__}. Other models take classes=... "
            "when they are built."
        )
    return model.make_classifier(classes, pooling, **options)
