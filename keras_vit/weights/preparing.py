"""Preprocessing of a weight file: from our metadata, its config, or its code base."""

import dataclasses
import pathlib

from keras_vit import ranges
from keras_vit.errors import CheckpointError
from keras_vit.preprocess import Preprocessing
from keras_vit.weights import configs

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


def preprocessing_of(arrays, family, facts, image_size, channels=3):
    """Find the preprocessing of a file's weights.

    Args:
        arrays: `ArrayFile`. family: name. facts: `Facts`.
        image_size, channels: (H, W) px and C of the model that is built.

    Returns:
        (`Preprocessing`, sentence or None).

    Raises:
        CheckpointError: when a configuration makes no sense.
    """
    found = _own(arrays, image_size) or _configured(arrays, image_size)
    note, said = found or _customary(arrays, family, facts, image_size)
    return in_channels(note, said, channels)


def in_channels(preprocessing, said, channels):
    """Fit a preprocessing to a number of channels: (preprocessing, note).

    Args:
        preprocessing: `Preprocessing`. said: note so far, or None.
        channels: C of the images.
    """
    rows = ranges.numbers(preprocessing.range)
    if rows is not None and {len(row) for row in rows} - {1, channels}:
        mean = ranges.averaged(preprocessing.range)
        if mean != preprocessing.range:
            note = f"a range of 3 channels for {channels} channels: the mean of each."
            said = f"{said} {note[0].upper()}{note[1:]}" if said else note
            preprocessing = preprocessing.changed(mean=mean.mean, std=mean.std)
    return preprocessing, said


def _own(arrays, image_size):
    """Preprocessing that `save_checkpoint` stored."""
    metadata = arrays.notes.get("keras_vit")
    if not isinstance(metadata, dict) or not isinstance(
        metadata.get("preprocessing"), dict
    ):
        return None
    try:
        return Preprocessing(**metadata["preprocessing"]).resized(image_size), None
    except (ValueError, TypeError) as err:
        raise CheckpointError(
            f"{arrays.where}: its preprocessing metadata must be valid, got {err}. "
            "Repair it, or save the file again with save_checkpoint."
        ) from err


def _configured(arrays, image_size):
    """Preprocessing by the configuration beside the weights."""
    folder = pathlib.Path(arrays.where)
    folder = folder if folder.is_dir() else folder.parent
    stated = configs.timm(folder / CONFIG, arrays.notes.get("config") or {})
    if stated is None and isinstance(arrays.notes.get("preprocessor"), dict):
        where, config = folder / PREPROCESSOR, arrays.notes["preprocessor"]
        stated = configs.hugging_face(where, config, image_size)
    if stated is None:
        return None
    fields, notes = stated
    return Preprocessing(image_size, **fields), " ".join(notes) or None


def _customary(arrays, family, facts, image_size):
    """Default preprocessing of the code base."""
    if family == "timm_bit":
        crop = 0.875 if max(image_size) <= 224 else 1.0
        bilinear = _pil(image_size, "google", crop)
        return dataclasses.replace(bilinear, interpolation="bilinear"), None
    if family in ("google", "big_vision", "keras_hub", "bit"):
        return Preprocessing(image_size=image_size, antialias=False), None
    facebook = facts.options.get("distilled") or facts.options.get("pooling") is None
    facebook = facebook or facts.options.get("norm_pooled") or facts.kernel == "bicubic"
    dinov2 = "mask_token" in arrays.left_out and facts.options.get("layer_scale")
    if family == "timm" and (facebook or dinov2):
        crop = 0.875 if max(image_size) <= 224 else 1.0
        return _pil(image_size, "imagenet", crop), None
    if family == "timm":
        crop = 0.9 if max(image_size) <= 224 else 1.0
        sentence = (
            "the file does not name its preparation; took that of AugReg: range -1.."
        )
        sentence += (
            "1, long side and corner as TensorFlow rounds them. Pass "
            "preprocessing=keras_vit.Preprocessing(mode='imagenet') if it differs."
        )
        augreg = _pil(image_size, "google", crop)
        return dataclasses.replace(augreg, geometry="tensorflow"), sentence
    mode = "google" if facts.options.get("pooling") else "imagenet"
    squash = Preprocessing(image_size=image_size, mode=mode, rounding="each_pass")
    return squash, None


def _pil(image_size, mode, crop):
    return Preprocessing(
        image_size=image_size,
        mode=mode,
        resize="short_side",
        crop=crop,
        interpolation="bicubic",
        rounding="each_pass",
    )
