"""A sample of validation images, with predictions and attention maps."""

import dataclasses

import numpy as np

from keras_vit import introspect
from keras_vit.export.report.gallery_choice import BalancedSample
from keras_vit.export.report.svg import data_uri, with_heat
from keras_vit.layers import TransformerBlock
from keras_vit.preprocess import to_pixels


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image of the report: prediction, label, attention map.

    Attributes:
        image, attention: data URIs; the second is None without blocks.
        chosen: index of the class with the largest score, None for features.
        share: softmax of that score, 0..1.
        true: index of the true class, or None.
    """

    image: str
    attention: str | None
    chosen: int | None
    share: float
    true: int | None

    @property
    def wrong(self):
        """Whether the prediction is known to be wrong."""
        return self.true is not None and self.chosen != self.true


class Gallery:
    """Samples images of all classes from batches; some mistakes come first.

    Args:
        contract: of the model. count: how many images to show.
    """

    def __init__(self, contract, count):
        self._contract = contract
        self._count = count
        classes = contract.outputs[0].shape[-1] or 1
        self._right, self._wrong = (
            BalancedSample(count, classes),
            BalancedSample(count, classes),
        )

    def add(self, images, labels, outputs):
        """Add one batch; fits `verify_all`'s observe."""
        for index, image in enumerate(images):
            chosen, share = self._choice([output[index] for output in outputs])
            known = labels is not None and np.ndim(labels[index]) == 0
            true = int(labels[index]) if known else None
            wrong = true is not None and chosen != true
            kept = self._wrong if wrong else self._right
            group = (chosen or 0) if true is None else true
            kept.add(group, (image, chosen, share, true))

    def _choice(self, outputs):
        """(predicted class, its probability) of one image."""
        scores, output = np.asarray(outputs[0], "float64"), self._contract.outputs[0]
        if scores.ndim != 1 or output.name == "features":
            return None, 0.0
        chosen = int(scores.argmax())
        if output.name == "probabilities":
            return chosen, float(scores[chosen])
        return chosen, float(1.0 / np.exp(scores - scores.max()).sum())

    def pictures(self, model):
        """Choose up to a third mistakes, then others, evenly over the classes.

        Args:
            model: whose attention is shown, when it is made of our blocks.

        Returns:
            A list of `Picture`.
        """
        mistakes = max(self._count // 3, self._count - len(self._right))
        wrong = self._wrong.take(mistakes)
        groups = [group for group, _ in wrong]
        right = self._right.take(self._count - len(wrong), groups)
        kept = [row for _, row in (*wrong, *right)]
        if not kept:
            return []
        images = np.stack([image for image, *_ in kept])
        maps = _attention(model, images)
        return [
            self._picture(image, heat, chosen, share, true)
            for (image, chosen, share, true), heat in zip(kept, maps, strict=True)
        ]

    def _picture(self, image, heat, chosen, share, true):
        pixels = self._pixels(image)
        overlay = None if heat is None else data_uri(with_heat(pixels, heat))
        return Picture(data_uri(pixels), overlay, chosen, share, true)

    def _pixels(self, image):
        """Convert to 0 to 255; an unknown range from minimum to maximum."""
        if self._contract.stated:
            return to_pixels(image, self._contract.mode)
        low, high = float(image.min()), float(image.max())
        return np.round((image - low) * (255 / max(high - low, 1e-6))).astype("uint8")


def _attention(model, images):
    """One attention map per image, or None for a model without."""
    names = {layer.name for layer in model.layers}
    blocks = any(isinstance(layer, TransformerBlock) for layer in model.layers)
    if not blocks or "patch_encoder" not in names:
        return [None] * len(images)
    return list(introspect.readout_attention(model, images))
