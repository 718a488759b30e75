"""The adapter of a signature: input preprocessing and output conversion in a file.

It preprocesses pixels before the model, and converts logits to probabilities or top
classes behind it. Files hold both parts as operators; here they are in numpy, for the
comparison.
"""

import dataclasses
import io

import numpy as np

from keras_vit.export.io.io_spec import Contract, TensorSpec
from keras_vit.layers.interpolate import matrix
from keras_vit.preprocess import (
    Preprocessing,
    preprocess_image_file,
    to_pixels,
)
from keras_vit.ranges import pixel_statistics
from keras_vit.tasks import output_task

FEATURES, CLASSES = "features", "classes"


@dataclasses.dataclass(frozen=True)
class IOAdapter:
    """Input preprocessing and output conversion of one signature.

    Args:
        view: `Contract` of the model alone: float image in, scores or features out.
        note: `Preprocessing` of the model, or None where it states none: such a file
            prepares no pixels.
        input_size: (H, W) px of uint8 images that the file prepares itself; None
            when it takes what the model takes.
        softmax: whether logits leave as probabilities.
        top: how many of the best classes leave, instead of all scores; or None.
        encoded: whether it takes JPEG or PNG files and prepares them as `note` says.
    """

    view: Contract
    note: Preprocessing | None = None
    input_size: tuple | None = None
    softmax: bool = False
    top: int | None = None
    encoded: bool = False

    @property
    def embedded(self):
        """Whether the file takes pixels and preprocesses them itself."""
        return self.input_size is not None

    @property
    def mode(self):
        """Value range of the model's input."""
        return self.view.mode

    @property
    def image(self):
        """`TensorSpec` of the input."""
        tensor = self.view.image
        if self.encoded:
            return TensorSpec(f"{tensor.name}_bytes", "string", tensor.shape[:1])
        if not self.embedded:
            return tensor
        shape = (tensor.shape[0], *self.input_size, tensor.shape[-1])
        return TensorSpec(tensor.name, "uint8", shape)

    @property
    def compared(self):
        """`TensorSpec`s of the outputs that are compared, before top-k."""
        if not self.softmax:
            return self.view.outputs
        return (dataclasses.replace(self.view.outputs[0], name="probabilities"),)

    @property
    def outputs(self):
        """`TensorSpec`s of the outputs."""
        if self.top is None:
            return self.compared
        scores = self.compared[0]
        shape = (scores.shape[0], self.top)
        return (
            TensorSpec(CLASSES, "int32", shape),
            dataclasses.replace(scores, shape=shape),
        )

    @property
    def contract(self):
        """`Contract` of the file."""
        return dataclasses.replace(self.view, image=self.image, outputs=self.outputs)

    @property
    def task(self):
        """`keras_vit.tasks.OutputTask`: what the scores mean."""
        return output_task(self.view.outputs[0])

    @property
    def classes(self):
        """K of the scores, or None for features."""
        return self.task.classes(self.view.outputs[0])

    @property
    def purpose(self):
        """What the signature is for, in two words."""
        return self.task.purpose

    def crop(self):
        """(top, left, height, width) of the pixels that the model sees, px."""
        return self.note.source_box(*self.input_size)

    @property
    def resizes(self):
        """Whether the file crops and resizes."""
        return self.embedded and self.input_size != self.view.image.shape[1:3]

    def prepare(self, images):
        """Preprocess the file's input for the model; bilinear, not antialiased.

        Args:
            images: (B, H, W, C), or (B,) files.

        Returns:
            float32.
        """
        if self.encoded:
            return np.stack([preprocess_image_file(f, self.note) for f in images])
        images = np.asarray(images, "float32")
        if not self.embedded:
            return images
        if self.resizes:
            top, left, height, width = self.crop()
            images = images[:, top : top + height, left : left + width]
            images = _resize(images, self.view.image.shape[1:3])
        mean, std = pixel_statistics(self.mode, images.shape[-1])
        return (images - mean) / std

    def pixels(self, images):
        """Convert model inputs back to what the file takes.

        Args:
            images: (B, h, w, C) float32 in the model's range.

        Returns:
            (B, H, W, C) of the file's dtype, or (B,) PNG files.
        """
        if self.encoded:
            return np.array([_png(i) for i in to_pixels(images, self.mode)], object)
        if not self.embedded:
            return images
        pixels = to_pixels(images, self.mode)
        if not self.resizes:
            return pixels
        return np.round(_resize(pixels, self.input_size)).astype("uint8")

    def finish(self, answers):
        """Convert the model's outputs to `compared`."""
        return [_softmax(answers[0])] if self.softmax else answers

    def complete(self, expected, got):
        """Convert a file's outputs to `compared`, so that both sides match.

        Of the best classes alone, everything else is known to be at most the worst
        of them: what is expected above that shows as a difference.

        Args:
            expected: `finish`ed answers of the model. got: of the file.

        Returns:
            list of arrays.
        """
        if self.top is None:
            return got
        classes, scores = got
        rows = np.minimum(expected[0], scores.min(axis=1, keepdims=True))
        known = np.clip(classes, 0, rows.shape[1] - 1)
        np.put_along_axis(rows, known, scores, axis=1)
        return [rows]


def _resize(images, size):
    """Bilinear with half-pixel centres, not antialiased, as TFLite and ONNX do."""
    down = matrix(images.shape[1], size[0]).astype("float32")
    across = matrix(images.shape[2], size[1]).astype("float32")
    return np.einsum("ph,qw,bhwc->bpqc", down, across, images, optimize=True)


def _png(pixels):
    """Encode an image as PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class AdaptedReference:
    """A `Reference` with an adapter: it gives the outputs expected of the file.

    Args:
        reference: `Reference` of the model.
        adapter: `IOAdapter`; None for the model's own.
        view: `keras_vit.export.io.model_views.ModelView` that the file is made from, or
            None.
    """

    def __init__(self, reference, adapter=None, view=None):
        self.reference, self.view = reference, view
        self.adapter = IOAdapter(reference.contract) if adapter is None else adapter

    @property
    def contract(self):
        """`Contract` of what is compared."""
        adapter = self.adapter
        return dataclasses.replace(
            adapter.view, image=adapter.image, outputs=adapter.compared
        )

    @property
    def shown(self):
        """`Contract` of the file."""
        return self.adapter.contract

    @property
    def model(self):
        """The Keras model."""
        return self.reference.model

    def complete(self, expected, got):
        """See `IOAdapter.complete`."""
        return self.adapter.complete(expected, got)

    def __call__(self, images):
        """`IOAdapter.compared` for images as the file takes them."""
        return self.adapter.finish(self.reference(self.adapter.prepare(images)))

    def finite_answers(self, images):
        """Run the model; refuse outputs with NaN or infinity.

        Raises:
            ValueError: when an output of the model is NaN or infinite.
        """
        return self.adapter.finish(
            self.reference.finite_answers(self.adapter.prepare(images))
        )
