"""Preprocessing from the configurations of timm and transformers.

Every key that changes pixels is read or named. A value that makes no sense is an error
with the name of its key; one that exists elsewhere but not here is replaced, and said.
"""

from keras_vit.errors import CheckpointError

# Pillow's numbers for interpolation, as transformers stores them.
FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
OURS = {
    "nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic",
    "box": "area", "area": "area",
}  # fmt: skip
# Replacement of filters that we lack: the one whose weights are nearest.
STAND_INS = {"lanczos": "bicubic", "hamming": "bilinear", "random": "bicubic"}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TIMM_KEYS = ("mean", "std", "crop_pct", "crop_mode", "interpolation")
# Switches of transformers that change pixels in ways that are not done here.
UNDONE = (
    "do_pad", "do_thumbnail", "do_align_long_axis", "do_crop_margin", "do_grayscale",
    "do_image_splitting", "do_pan_and_scan", "do_color_quantize",
)  # fmt: skip
WIDE = 384  # px; from here on ConvNeXt's processor squashes


class Keys:
    """A configuration whose values are checked on access.

    Args:
        where: file, for messages. config: dict.

    Attributes:
        notes: sentences on what was replaced.
    """

    def __init__(self, where, config):
        self.where, self._config, self.notes = where, config, []

    def get(self, name, default=None):
        """Value of a key; null counts as absent."""
        value = self._config.get(name)
        return default if value is None else value

    def switch(self, name, default):
        """Read a boolean."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            self.refuse(name, "true or false", value)
        return value

    def number(self, name, default):
        """Read a number above 0."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            self.refuse(name, "a number above 0", value)
        return float(value)

    def row(self, name, default, reason):
        """Read one number, or one per channel; a missing one is noted."""
        value = self.get(name)
        if value is None:
            self.notes.append(f"{name} is not given; took {list(default)}, {reason}.")
            return default
        row = value if isinstance(value, list | tuple) else [value]
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in row]
        if not row or not all(numbers) or (name.endswith("std") and min(row) <= 0):
            self.refuse(name, "a number, or one per channel", value)
        return tuple(map(float, row))

    def filter(self, name, default):
        """Interpolation by Pillow's number or a name."""
        value = self.get(name, default)
        known = isinstance(value, int) and not isinstance(value, bool)
        if known and 0 <= value < len(FILTERS):
            value = FILTERS[value]
        word = str(value).lower().rpartition(".")[2]
        if word in OURS:
            return OURS[word]
        taken = STAND_INS.get(word)
        if taken is None:
            known = ", ".join((*OURS, *STAND_INS))
            self.refuse(name, f"one of {known}, or Pillow's number", value)
        self.notes.append(f"{name}={word!r} is not known here; took {taken!r}.")
        return taken

    def sides(self, name, default):
        """((rows, columns), whether it is the short side), in any spelling."""
        value = self.get(name, default)
        if isinstance(value, dict):
            short = value.get("shortest_edge") or value.get("longest_edge")
            if "longest_edge" in value and "shortest_edge" not in value:
                self.notes.append(f"{name} gives the long side; the image is squashed.")
            elif short is not None:
                return self._pair(name, short), True
            value = [value.get("height", short), value.get("width", short)]
        return self._pair(name, value), False

    def _pair(self, name, value):
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        pair = pair * 2 if len(pair) == 1 else pair
        if len(pair) != 2 or not all(type(side) is int and side > 0 for side in pair):
            self.refuse(name, "a side in px, or two", value)
        return pair

    def refuse(self, name, rule, value):
        """Raise the error that names the key with an invalid value."""
        raise CheckpointError(
            f"{self.where}: {name!r} must be {rule}, got {str(value)[:60]!r}. Repair "
            "the file, or pass preprocessing=keras_vit.Preprocessing(...)."
        )


def timm(where, config):
    """Fields of a `Preprocessing` from timm's config.json, nested or flat.

    Args:
        where: file. config: the whole of it.

    Returns:
        (fields, sentences), or None when it says nothing on images.
    """
    nested = config.get("pretrained_cfg")
    nested = nested if isinstance(nested, dict) else {}
    told = {k: v for k, v in nested.items() if v is not None}
    merged = {**{k: config.get(k) for k in TIMM_KEYS}, **told}
    if not any(merged.get(key) is not None for key in TIMM_KEYS):
        return None
    keys = Keys(where, merged)
    fields = {
        "mean": keys.row("mean", IMAGENET[0], "timm's default"),
        "std": keys.row("std", IMAGENET[1], "timm's default"),
        "crop": keys.number("crop_pct", 0.875),
        "interpolation": keys.filter("interpolation", "bicubic"),
        "resize": "short_side",
        "rounding": "each_pass",
    }
    mode = keys.get("crop_mode", "center")
    if mode not in ("center", "squash", "border"):
        keys.refuse("crop_mode", "center, squash or border", mode)
    if mode != "center":
        fields["resize"] = "squash"
    if mode == "border":
        keys.notes.append("crop_mode='border' pads, which is not done here; squashed.")
    if fields["crop"] > 1:
        keys.refuse("crop_pct", "at most 1", fields["crop"])
    return fields, keys.notes


def hugging_face(where, config, image_size):
    """Fields of a `Preprocessing` from transformers' preprocessor_config.json.

    Args:
        where: file. config: of it, or of a processor around it.
        image_size: (H, W) px that the model takes.

    Returns:
        (fields, sentences).
    """
    inside = config.get("image_processor")
    keys = Keys(where, inside if isinstance(inside, dict) else config)
    if keys.switch("do_flip_channel_order", False):
        keys.notes.append("do_flip_channel_order: it takes BGR; swap the channels.")
    for name in UNDONE:
        if keys.get(name) is True:
            keys.notes.append(f"{name} is true, which is not done here.")
    return {**_range(keys), **_geometry(keys, image_size)}, keys.notes


def _range(keys):
    """mean, std and scale after do_rescale and do_normalize."""
    kind = str(keys.get("image_processor_type", keys.get("feature_extractor_type", "")))
    usual = CLIP if kind.startswith(("CLIP", "Bit", "ChineseCLIP")) else HALF
    scale = 1.0
    if keys.switch("do_rescale", True):
        scale = keys.number("rescale_factor", 1 / 255)
    shift = 1.0 if keys.get("rescale_offset") is True and scale != 1 else 0.0
    mean, std = (0.0,), (1.0,)
    if keys.switch("do_normalize", True):
        mean = keys.row("image_mean", usual[0], "the default of its processor")
        std = keys.row("image_std", usual[1], "the default of its processor")
    mean = tuple(value + shift for value in mean)
    return {"mean": mean, "std": std, "scale": scale}


def _geometry(keys, image_size):
    """Resize, crop and interpolation."""
    (rows, columns), short = keys.sides("size", list(image_size))
    crop = 1.0
    if keys.get("crop_pct") is not None:  # ConvNeXt, LeViT: size is what is left
        short, crop = rows < WIDE, keys.number("crop_pct", 1.0)
        crop = crop if short else 1.0
    elif keys.switch("do_center_crop", False):
        (kept, _), _ = keys.sides("crop_size", list(image_size))
        crop = kept / rows
    if not 0 < crop <= 1:
        keys.refuse("crop_size", f"at most the size, {rows}", keys.get("crop_size"))
    if not keys.switch("do_resize", True):
        keys.notes.append("do_resize is false; images are brought to the model's size.")
    return {
        "resize": "short_side" if short else "squash",
        "crop": crop,
        "interpolation": keys.filter("resample", "bilinear"),
        "rounding": "each_pass",
    }
