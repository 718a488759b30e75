"""Inspection of a model on a few pictures, in one forward pass per picture."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_vit import imagenet
from keras_vit.introspect.attention import maps_of, probe_rows, reader_rows
from keras_vit.introspect.distance import distances_of
from keras_vit.introspect.filters import embedding_filters
from keras_vit.introspect.layout import (
    TokenLayout,
    blocks_of,
    probe_of,
    runner,
    token_layout,
    transformer_of,
)
from keras_vit.introspect.norms import norms_of
from keras_vit.introspect.position import position_similarity
from keras_vit.introspect.rollout import roll
from keras_vit.models.input_range import UNKNOWN, stated
from keras_vit.models.output_activation import ending, labels_of, meaning
from keras_vit.preprocess import Preprocessing, decode_predictions, preprocess_input
from keras_vit.progress import Bar

GREY = np.array([0.299, 0.587, 0.114], "float32")  # as PIL makes grey of colours


@dataclasses.dataclass(frozen=True)
class Sight:
    """Attention, predictions and norms of one picture.

    Attributes:
        name: of the picture. pixels: (H, W, C) uint8, as the model saw it.
        guesses: [(class name, probability)], best first; empty for a model that
            gives features.
        rollout: (h, w). heads: (L, A, h, w), what the head's tokens look at.
        norms: (1, L, T).
    """

    name: str
    pixels: np.ndarray
    guesses: list
    rollout: np.ndarray
    heads: np.ndarray
    norms: np.ndarray


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Result of `inspect_model`.

    Attributes:
        facts: name -> value, about the model. layout: `TokenLayout`.
        sights: a list of `Sight`, one per picture.
        distances: (L, A) px, mean over the pictures.
        similarity: (h, w, h, w), or the reason why there is none.
        filters: (count, P, P, C), or the reason why there are none.
    """

    facts: dict
    layout: TokenLayout
    sights: list
    distances: np.ndarray
    similarity: np.ndarray | str
    filters: np.ndarray | str


def inspect_model(
    model: keras.Model,
    pictures: dict[str, np.ndarray],
    preprocessing: Preprocessing | None = None,
    top: int = 5,
    verbose: int = 1,
) -> Inspection:
    """Compute attention maps, distances, filters and norms for the page.

    Args:
        model: made by this package.
        pictures: name -> (H, W, 3) uint8 array, decoded and of any size.
        preprocessing: how the model takes pictures; None takes the model's own.
        top: class names per picture. verbose: 1 shows a progress bar.

    Returns:
        `Inspection`.

    Raises:
        ValueError: for a model without blocks, without preprocessing, or for images
            of other than one or three channels; without pictures.
    """
    if not pictures:
        raise ValueError("pictures: needs at least one, got none. Name an image file.")
    prepare, model = preparation(model, preprocessing), transformer_of(model)
    see, sights = _watch(model, top), []
    bar = Bar(len(pictures), "picture", verbose)
    for name, picture in pictures.items():
        pixels = _pixels(picture, prepare, model.input_shape[-1])
        sights.append(see(name, pixels, preprocess_input(pixels, mode=prepare.range)))
        bar.add(1)
    return Inspection(
        _facts(model),
        token_layout(model),
        [sight for sight, _ in sights],
        np.mean([distances for _, distances in sights], axis=0),
        _or_reason(position_similarity, model),
        _or_reason(embedding_filters, model),
    )


def _watch(model, top):
    """Make a function from a picture to its `Sight` and distances."""
    blocks, layout, probe = blocks_of(model), token_layout(model), probe_of(model)
    last = [] if probe is None else [probe.input]
    tokens = [block.input for block in blocks] + [block.output for block in blocks]
    run = runner(model, [*tokens, model.outputs[0], *last])
    depth = len(blocks)

    def see(name, pixels, image):
        tensors = run(image[None])
        maps = maps_of(blocks, tensors[:depth])
        rows = layout.readers if probe is None else probe_rows(probe, tensors[-1])
        sight = Sight(
            name,
            np.round(pixels).clip(0, 255).astype("uint8"),
            guesses(model, tensors[2 * depth], top),
            layout.to_grid(roll(maps, rows))[0],
            layout.to_grid(reader_rows(maps, layout))[0],
            norms_of(tensors[depth : 2 * depth]),
        )
        return sight, distances_of(maps, layout)

    return see


def preparation(model, preprocessing=None):
    """The model's preprocessing, at its image size.

    Args:
        model: with `preprocessing`. preprocessing: `Preprocessing` to take instead.

    Raises:
        ValueError: when neither says how, or pictures have no colours.
    """
    result = preprocessing or stated(model)[0]
    shape = tuple(model.input_shape[1:])
    if result is None:
        raise ValueError(
            f"model: must say how its pictures are prepared, got {model.name!r} "
            f"without preprocessing: {UNKNOWN}. Or pass preprocessing=keras_vit."
            "Preprocessing(...)."
        )
    if shape[-1] not in (1, 3):
        raise ValueError(
            f"model: must take pictures of one or three channels, got {shape[-1]}. "
            "Pass arrays to the functions of keras_vit.introspect instead."
        )
    return result if None in shape[:2] else result.resized(shape[:2])


def _pixels(picture, preprocessing, channels):
    """Resize and crop a picture, (H, W, C) float32 of 0 to 255."""
    picture = np.asarray(picture, "float32")
    if channels == 1:
        picture = (picture @ GREY)[..., None]
    return ops.convert_to_numpy(preprocessing.resize_images(picture))


def guesses(model, outputs, top=5):
    """Name the top classes of the first image.

    Args:
        model: with `labels`, or the 1,000 classes of ImageNet, or numbered.
        outputs: (B, K) of the model, logits or probabilities. top: how many.

    Returns:
        [(class name, probability)], the best first; nothing for features.
    """
    ends, scores = getattr(model, "outputs", None), ops.cast(outputs, "float32")
    kind = meaning(ends[0]) if ends else ending(model)
    if len(scores.shape) != 2 or kind is None:
        return []
    shares = kind != "logits"
    labels = labels_of(model)
    if labels is None and scores.shape[1] != len(imagenet.NAMES):
        labels = [f"class {k}" for k in range(scores.shape[1])]
    return decode_predictions(scores if shares else ops.softmax(scores), top, labels)[0]


def _facts(model):
    """Facts under the title of the page."""
    blocks = blocks_of(model)
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "blocks": len(blocks),
        "heads": blocks[0].heads,
        "image": tuple(model.input_shape[1:3]),
    }


def _or_reason(look, model):
    """Result of a function, or the reason why it refuses."""
    try:
        return look(model)
    except ValueError as err:
        return str(err)
