"""From an image to what a model takes: size, crop and value range.

Augmentation does not live here but in `keras_vit.training.data`.
"""

import dataclasses

import keras
from keras import ops

# mode -> (mean, std) of the pixel values, on a scale of 0 to 1, per channel.
RANGES = {
    "google": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": None,
}
RESIZES = ("squash", "short_side")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


def _check_choice(name, value, choices):
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: must be one of {known}, got {value!r}.")


@keras.saving.register_keras_serializable("keras_vit")
@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How images were prepared when the weights were made; travels with a model.

    Args:
        image_size: (H, W) px that the model takes.
        mode: value range, see `preprocess_input`.
        resize: "squash" resizes straight to the target, "short_side" keeps the
            aspect ratio and crops the centre.
        crop: share of the resized short side that the centre crop keeps, 0..1.
        interpolation: "nearest", "bilinear" or "bicubic".
        antialias: whether shrinking averages (PIL does, TensorFlow's default
            does not).

    Raises:
        ValueError: for a value that is not among the choices.
    """

    image_size: tuple = (224, 224)
    mode: str = "google"
    resize: str = "squash"
    crop: float = 1.0
    interpolation: str = "bilinear"
    antialias: bool = True

    def __post_init__(self):
        object.__setattr__(self, "image_size", tuple(self.image_size))
        _check_choice("mode", self.mode, RANGES)
        _check_choice("resize", self.resize, RESIZES)
        _check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop: must be above 0 and at most 1, got {self.crop}.")

    def get_config(self):
        """Plain values that rebuild this object."""
        return {**dataclasses.asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`."""
        return cls(**config)

    def resized(self, image_size):
        """The same preparation at another (H, W)."""
        return dataclasses.replace(self, image_size=tuple(image_size))

    def __call__(self, images):
        """Prepare decoded images.

        Args:
            images: (H, W, C) or (B, H, W, C), uint8 or float of 0 to 255.

        Returns:
            float32 of the model's size and range, same rank.
        """
        return preprocess_input(self.resize_images(images), mode=self.mode)

    def resize_images(self, images):
        """Only the geometry: resize and centre crop, values stay 0 to 255.

        Args:
            images: (H, W, C) or (B, H, W, C), uint8 or float.

        Returns:
            float32, (h, w, C) or (B, h, w, C) with (h, w) = image_size.
        """
        images = ops.cast(images, "float32")
        height, width = images.shape[-3:-1]
        target = self._resized_shape(height, width)
        if (height, width) != target:
            images = ops.image.resize(
                images,
                target,
                interpolation=self.interpolation,
                antialias=self.antialias,
                data_format="channels_last",
            )
            images = ops.clip(images, 0.0, 255.0)
        top = round((target[0] - self.image_size[0]) / 2)
        left = round((target[1] - self.image_size[1]) / 2)
        bottom, right = top + self.image_size[0], left + self.image_size[1]
        return images[..., top:bottom, left:right, :]

    def _resized_shape(self, height, width):
        """(H, W) before the centre crop."""
        out_h, out_w = (int(side / self.crop) for side in self.image_size)
        if self.resize == "squash":
            return out_h, out_w
        scale = max(out_h / height, out_w / width)
        return max(int(height * scale), out_h), max(int(width * scale), out_w)


def preprocess_input(x, mode="google"):
    """Bring pixel values to the range that the weights were trained with.

    Args:
        x: (..., C) uint8 or float pixels from 0 to 255. C is 3 for mode
            "imagenet", anything for the others.
        mode: "google": x / 127.5 - 1. "imagenet": (x / 255 - mean) / std with
            the ImageNet statistics per channel. "none": the values as they
            are.

    Returns:
        float32, same shape.

    Raises:
        ValueError: for an unknown mode.

    >>> preprocess_input([0.0, 127.5, 255.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    _check_choice("mode", mode, RANGES)
    backend_tensor = ops.is_tensor(x)
    x = ops.cast(ops.convert_to_tensor(x), "float32")
    if mode == "google":
        x = x / 127.5 - 1.0
    elif mode == "imagenet":
        mean, std = RANGES[mode]
        x = (x / 255.0 - ops.array(mean)) / ops.array(std)
    return x if backend_tensor else ops.convert_to_numpy(x)


def decode_predictions(predictions, top=5, labels=None):
    """Name the classes with the largest scores.

    Args:
        predictions: (B, K) logits or probabilities.
        top: how many per image.
        labels: K class names. None with K = 1000 means ImageNet-1k, whose
            names Keras downloads once.

    Returns:
        For each image a list of `top` (name, score) pairs, best first. Scores
        are the values given; apply a softmax first for probabilities.

    Raises:
        ValueError: when the labels do not fit the predictions.

    >>> decode_predictions([[0.1, 2.0, -1.0]], top=1, labels=["cat", "dog", "hen"])
    [[('dog', 2.0)]]
    """
    scores = ops.convert_to_numpy(predictions)
    if scores.ndim != 2:
        raise ValueError(
            f"predictions: must be (B, K), got shape {scores.shape}. "
            "Add a batch axis with x[None]."
        )
    if labels is None:
        return _decode_imagenet(scores, top)
    if len(labels) != scores.shape[1]:
        raise ValueError(
            f"labels: must name {scores.shape[1]} classes, got {len(labels)} names."
        )
    order = (-scores).argsort(axis=1, kind="stable")[:, :top]
    return [
        [(labels[k], float(row[k])) for k in best]
        for row, best in zip(scores, order, strict=True)
    ]


def _decode_imagenet(scores, top):
    """Names from the ImageNet-1k index that Keras downloads and caches."""
    if scores.shape[1] != 1000:
        raise ValueError(
            f"labels: needed for {scores.shape[1]} classes; only the 1000 of "
            "ImageNet-1k are known by heart. Pass labels=[...]."
        )
    decode = keras.applications.imagenet_utils.decode_predictions
    return [[(name, float(s)) for _, name, s in row] for row in decode(scores, top)]
