"""Detect a file's input and output adapter, and convert the expected answers to it.

The adapter is read from the file's names, shapes and dtypes. Every output that can be
compared is compared.
"""

import numpy as np

from keras_vit.export.images.batches import Batches
from keras_vit.export.io.io_adapter import CLASSES, FEATURES
from keras_vit.export.io.io_spec import Contract
from keras_vit.export.io.model_views import ModelViews
from keras_vit.models.input_range import UNKNOWN


def adapted_reference(reference, runtime):
    """Adapt the Keras reference to the inputs and outputs of a file.

    Args:
        reference: `Reference` of the model, with an open batch. runtime: the file.

    Returns:
        `AdaptedReference`; of what no adapter explains, the model's own.

    Raises:
        ValueError: for a file that prepares pixels, of a model that does not say how.
    """
    image, names = runtime.inputs[0], [tensor.name for tensor in runtime.outputs]
    output_names = [tensor.name for tensor in reference.contract.outputs]
    features = names == [FEATURES] and output_names != names
    view = ModelViews(reference).get(None, None, FEATURES if features else "scores")
    contract, options = view.contract, {}
    resized = image.shape[1:] != contract.image.shape[1:]
    if image.dtype == "uint8" and (image.scale is None or resized):
        options["input_size"] = image.shape[1:3]
    options["encoded"] = image.dtype == "string"
    if view.contract.note is None and ("input_size" in options or options["encoded"]):
        raise ValueError(
            f"{runtime.path}: prepares pixels inside, to be compared with a model that "
            f"says how, but {UNKNOWN}."
        )
    options["softmax"] = output_names == ["logits"] and "probabilities" in names
    if CLASSES in names:
        options["top"] = runtime.outputs[names.index(CLASSES)].shape[-1]
    return view.adapted(view.adapter(**options))


def batches_for(adapted, images, labels, contract):
    """Convert the user's images and labels to batches as the file takes them.

    Args:
        adapted: `AdaptedReference`.
        images, labels: as in `verify`; for a file that takes pixels, uint8 images of
            its size will do as well.
        contract: of the model.

    Returns:
        `Batches`, or another iterable with a `count`.
    """
    adapter = adapted.adapter
    if not (adapter.embedded or adapter.encoded):
        return Batches(images, labels, contract)
    if adapter.embedded and getattr(images, "dtype", None) == np.uint8:
        return ConvertedBatches(
            Batches(images, labels, Contract(adapter.image, adapter.compared, "none")),
            _bytes,
        )
    return ConvertedBatches(Batches(images, labels, contract), adapter.pixels)


def _bytes(images):
    return images.astype("uint8")


class ConvertedBatches:
    """Batches whose images are converted before they are used.

    Args:
        batches: `Batches`. change: function of images.
    """

    def __init__(self, batches, change):
        self._batches, self._change = batches, change
        self.count, self.notes, self.lost = batches.count, batches.notes, batches.lost

    def __iter__(self):
        for images, labels in self._batches:
            yield self._change(images), labels


def described(adapter):
    """Describe the input and output conversion of an adapter; "" where it has none."""
    parts = []
    if adapter.encoded:
        parts.append("images written as PNG and decoded by the file")
    if adapter.embedded:
        height, width = adapter.input_size
        parts.append(f"uint8 pixels of {width}x{height}, prepared by the file")
    if adapter.top is not None:
        name = adapter.compared[0].name
        parts.append(f"the {adapter.top} best classes and their {name}")
    elif adapter.softmax:
        parts.append("probabilities")
    return "; ".join(parts)
