"""Which preprocessing and labels belong to a file, from the best witness there is."""

import dataclasses

from keras_vit.errors import CheckpointError
from keras_vit.preprocess import RANGES, Preprocessing

# PIL's numbers for interpolation, as transformers stores them.
PIL_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}


def preprocessing_of(arrays, family, facts, image_size):
    """How images were prepared for these weights.

    Args:
        arrays: `ArrayFile`. family: name. facts: `Facts`.
        image_size: (H, W) px of the model that is built.

    Returns:
        (`Preprocessing`, sentence or None).

    Raises:
        CheckpointError: when a configuration makes no sense.
    """
    own = arrays.notes.get("keras_vit")
    try:
        if isinstance(own, dict) and isinstance(own.get("preprocessing"), dict):
            return Preprocessing(**own["preprocessing"]).resized(image_size), None
        config = arrays.notes.get("config") or {}
        if isinstance(config.get("pretrained_cfg"), dict):
            return _timm(config["pretrained_cfg"], image_size)
        if isinstance(arrays.notes.get("preprocessor"), dict):
            return _hugging_face(arrays.notes["preprocessor"], image_size)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise CheckpointError(
            f"{arrays.where}: its note on preprocessing must make sense, got {err}. "
            "Repair the configuration beside the weights."
        ) from err
    return _customary(family, facts, image_size)


def _mode(mean, std):
    """(name of the range, sentence or None)."""
    for name, numbers in RANGES.items():
        if numbers is not None and _close(numbers[0], mean) and _close(numbers[1], std):
            return name, None
    note = f"no value range for mean={mean}, std={std}; divide and shift yourself."
    return "none", note


def _close(ours, theirs):
    return len(theirs) == 3 and all(
        abs(a - float(b)) < 2e-3 for a, b in zip(ours, theirs, strict=True)
    )


def _timm(config, image_size):
    """From the `pretrained_cfg` of timm's config.json."""
    mode, note = _mode(config["mean"], config["std"])
    crop = float(config.get("crop_pct", 0.875))
    squash = config.get("crop_mode", "center") == "squash"
    return (
        Preprocessing(
            image_size=image_size,
            mode=mode,
            resize="squash" if squash else "short_side",
            crop=crop,
            interpolation=config.get("interpolation", "bicubic"),
            rounding="each_pass",
        ),
        note,
    )


def _hugging_face(config, image_size):
    """From transformers' preprocessor_config.json."""
    mode, note = _mode(config["image_mean"], config["image_std"])
    if not config.get("do_normalize", True):
        mode = "none"
    size = config.get("size", {})
    size = size if isinstance(size, dict) else {"height": size, "width": size}
    short = "shortest_edge" in size
    resized = int(size.get("shortest_edge", size.get("height", image_size[0])))
    cropped = image_size[0]
    if config.get("do_center_crop"):
        crop = config.get("crop_size", cropped)
        cropped = int(crop["height"] if isinstance(crop, dict) else crop)
    elif not short:
        cropped = resized
    return (
        Preprocessing(
            image_size=image_size,
            mode=mode,
            resize="short_side" if short else "squash",
            crop=cropped / resized,
            interpolation=PIL_FILTERS[config.get("resample", 2)],
            rounding="each_pass",
        ),
        note,
    )


def _customary(family, facts, image_size):
    """What the code base does when nobody says otherwise."""
    if family == "timm_bit":
        crop = 0.875 if max(image_size) <= 224 else 1.0
        bilinear = _pil(image_size, "google", crop)
        return dataclasses.replace(bilinear, interpolation="bilinear"), None
    if family in ("google", "big_vision", "keras_hub", "bit"):
        return Preprocessing(image_size=image_size, antialias=False), None
    facebook = facts.options.get("distilled") or facts.options.get("pooling") is None
    facebook = facebook or facts.options.get("norm_pooled") or facts.kernel == "bicubic"
    if family == "timm" and facebook:
        crop = 0.875 if max(image_size) <= 224 else 1.0
        return _pil(image_size, "imagenet", crop), None
    if family == "timm":
        crop = 0.9 if max(image_size) <= 224 else 1.0
        note = "the file does not name its preparation; took that of AugReg: range -1.."
        note += (
            "1, long side and corner as TensorFlow rounds them. Pass "
            "preprocessing=keras_vit.Preprocessing(mode='imagenet') if it differs."
        )
        augreg = _pil(image_size, "google", crop)
        return dataclasses.replace(augreg, geometry="tensorflow"), note
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
